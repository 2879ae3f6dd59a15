"""What exists when a trial begins is left out of garbage collections until the trial has ended."""

import gc
import weakref
from collections.abc import Iterator

import pytest

from brownout.run.watch import INTERPRETERS_OWN, frozen


class _Ring:
    def __init__(self) -> None:
        self.self = self  # a cycle, which only the collector can free


@pytest.fixture(autouse=True)
def by_hand() -> Iterator[None]:
    """No collection comes by itself, and nothing is frozen before and after a test."""
    gc.disable()
    gc.unfreeze()
    yield
    gc.unfreeze()
    gc.enable()


def _garbage() -> "weakref.ref[_Ring]":
    return weakref.ref(_Ring())


def test_a_collection_does_not_look_at_what_was_there_before_the_block() -> None:
    before = _garbage()
    with frozen():
        made_inside = _garbage()
        gc.collect()
        assert before()
        assert not made_inside()
    gc.collect()
    assert not before()


def test_trials_overlap_and_the_last_to_end_gives_the_objects_back() -> None:
    first, second = frozen(), frozen()
    first.__enter__()
    between = _garbage()
    second.__enter__()
    first.__exit__(None, None, None)
    gc.collect()
    assert between()
    second.__exit__(None, None, None)
    gc.collect()
    assert not between()


def test_an_error_in_a_trial_gives_the_objects_back() -> None:
    with pytest.raises(ZeroDivisionError), frozen():
        _ = 1 / 0
    assert gc.get_freeze_count() <= INTERPRETERS_OWN


def test_what_the_program_itself_froze_stays_frozen_and_a_trial_freezes_more() -> None:
    theirs = _garbage()
    gc.freeze()
    before = _garbage()
    with frozen():
        gc.collect()
        assert before()
    gc.collect()
    assert theirs()
