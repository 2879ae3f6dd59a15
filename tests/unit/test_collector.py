"""What exists when a trial begins is left out of garbage collections until the trial has ended."""

import gc
import weakref
from collections.abc import Iterator

import pytest

from brownout.run.watch import frozen


class _Ring:
    def __init__(self) -> None:
        self.self = self  # a cycle, which only the collector can free


@pytest.fixture(autouse=True)
def nothing_frozen() -> Iterator[None]:
    assert not gc.get_freeze_count()
    yield
    gc.unfreeze()


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


def test_the_last_of_several_trials_frees_the_objects() -> None:
    with frozen():
        with frozen():
            pass
        assert gc.get_freeze_count()
    assert not gc.get_freeze_count()


def test_an_error_in_a_trial_frees_the_objects() -> None:
    with pytest.raises(ZeroDivisionError), frozen():
        _ = 1 / 0
    assert not gc.get_freeze_count()


def test_what_the_program_itself_froze_stays_frozen() -> None:
    gc.freeze()
    with frozen():
        pass
    assert gc.get_freeze_count()
