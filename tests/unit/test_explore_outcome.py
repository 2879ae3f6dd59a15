"""From facts to a word: each word, which goes before which, and what can never be good."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from brownout.explore.cell import BAD, GOOD, validity_of
from brownout.explore.outcome import Observation, judge

FINE = Observation({"a": 1}, {"a": 1}, "accepted", "read", frozenset({"SUCCESS"}))
NONE: dict[str, int] = {}
TABLE: list[tuple[str, dict[str, Any]]] = [
    ("once", {}),
    ("once", {"told": "dead"}),  # it was accepted, and whoever wanted to know is no more
    ("recovered", {"again": True}),
    ("refused", {"effects": NONE, "answered": "refused", "told": "refused", "stored": frozenset()}),
    ("refused", {"effects": {"a": 0}, "answered": "refused", "told": "refused", "stored": frozenset()}),
    ("misreported", {"answered": "refused", "told": "refused"}),
    ("misreported", {"effects": NONE, "answered": "refused", "told": "refused", "queued": 1}),
    ("unanswered", {"answered": "dead", "told": "dead"}),
    ("unanswered", {"effects": NONE, "answered": "dead", "told": "dead", "stored": frozenset()}),
    ("unanswered", {"effects": NONE, "answered": "dead", "told": "dead", "queued": 1}),
    ("duplicate-later", {"answered": "dead", "told": "dead", "unacked": 1}),
    ("unanswered", {"answered": "dead", "told": "dead", "recorded": True}),
    ("unanswered", {"effects": NONE, "answered": "dead", "told": "dead", "recorded": False}),
    ("misreported", {"answered": "dead", "told": "dead", "recorded": False}),  # sent before it was recorded
    ("misreported", {"effects": NONE, "answered": "dead", "told": "dead", "recorded": False, "queued": 1}),
    ("lost", {"effects": NONE, "answered": "dead", "told": "dead", "recorded": True}),
    ("stuck", {"effects": NONE, "answered": "dead", "told": "dead", "recorded": True, "unacked": 1}),
    ("unread", {"told": "unread"}),
    ("unread", {"told": "waiting", "again": True}),
    ("misreported", {"stored": frozenset({"FAILURE"}), "told": "unread"}),
    ("misreported", {"stored": frozenset(), "told": "unread"}),
    ("misreported", {"stored": frozenset({"SUCCESS", "FAILURE"})}),
    ("hangs", {"answered": "waiting", "told": "waiting"}),
    ("hangs", {"answered": "waiting", "told": "waiting", "effects": NONE}),
    ("hangs", {"answered": "waiting", "told": "waiting", "unacked": 1}),
    ("duplicate-later", {"unacked": 1}),
    ("duplicate-later", {"queued": 1, "stored": frozenset({"FAILURE"}), "told": "unread"}),
    ("duplicate", {"effects": {"a": 2}, "unacked": 1, "stored": frozenset()}),
    ("duplicate", {"effects": {"a": 2}, "answered": "dead", "told": "dead"}),
    ("duplicate", {"effects": {"a": 2}, "answered": "refused", "told": "refused"}),
    ("duplicate", {"effects": {"a": 1, "b": 1}}),  # nobody wanted b
    ("duplicate", {"wanted": {"a": 1, "b": 1}, "effects": {"a": 2}}),  # twice, and another one is missing
    ("stuck", {"effects": NONE, "unacked": 1, "told": "unread"}),
    ("stuck", {"effects": NONE, "queued": 1, "told": "unread"}),
    ("stuck", {"effects": NONE, "unacked": 1, "answered": "waiting", "told": "waiting"}),
    ("lost", {"effects": NONE, "told": "unread", "stored": frozenset()}),
    ("lost", {"effects": NONE, "told": "read"}),
    ("lost", {"wanted": {"a": 1, "b": 1}, "effects": {"a": 1}}),
    ("lost+silent", {"effects": NONE, "answered": "waiting", "told": "waiting", "consuming": False}),
    ("once+worker-dead", {"worker_died": True}),
    ("once+worker-dead", {"worker_died": True, "consuming": False}),  # it was not silent: it was not there
    ("once+silent", {"consuming": False}),
    ("once+api-stalled", {"api_stalled": True}),
    ("lost+api-stalled+worker-dead", {"effects": NONE, "worker_died": True, "api_stalled": True}),
]


@pytest.mark.parametrize(("expected", "facts"), TABLE)
def test_the_word_for_what_was_seen(expected: str, facts: dict[str, Any]) -> None:
    assert judge(replace(FINE, **facts)) == expected


def test_every_word_can_be_said() -> None:
    assert {expected.partition("+")[0] for expected, _ in TABLE} == {*GOOD, *BAD}


COUNTS = st.dictionaries(st.sampled_from("abc"), st.integers(0, 2))
SEEN = st.builds(
    Observation,
    wanted=st.just({"a": 1, "b": 1}) | st.just({"a": 1}),
    effects=COUNTS,
    answered=st.sampled_from(["waiting", "accepted", "refused", "dead"]),
    told=st.sampled_from(["waiting", "read", "unread", "refused", "dead"]),
    recorded=st.sampled_from([None, True, False]),
    stored=st.frozensets(st.sampled_from(["SUCCESS", "FAILURE"])),
    queued=st.integers(0, 1),
    unacked=st.integers(0, 1),
    worker_died=st.booleans(),
    consuming=st.booleans(),
    api_stalled=st.booleans(),
    again=st.booleans(),
)


@settings(max_examples=150)
@given(SEEN)
def test_no_word_is_better_than_what_was_seen(seen: Observation) -> None:
    outcome, *flags = judge(seen).split("+")
    more = any(count > seen.wanted.get(key, 0) for key, count in seen.effects.items())
    missing = any(seen.effects.get(key, 0) < count for key, count in seen.wanted.items())
    left = seen.queued + seen.unacked

    assert outcome in {*GOOD, *BAD}
    assert (outcome == "duplicate") is more
    if seen.worker_died or seen.api_stalled or not seen.consuming:
        assert validity_of(judge(seen)) == "invalid"
    assert not {"worker-dead", "silent"} <= {*flags}
    if outcome in ("once", "recovered"):
        assert (seen.answered, missing, left, seen.stored) == ("accepted", False, 0, seen.final)
        assert seen.told not in ("unread", "waiting")
    if seen.answered == "accepted" and missing:
        assert outcome in BAD
    if outcome == "refused":
        assert seen.answered == "refused"
        assert not any(seen.effects.values())
    if outcome == "unanswered":
        assert seen.answered == "dead"
        assert not (seen.recorded and missing), "what was recorded is done"
        assert seen.recorded is not False or not (left or any(seen.effects.values())), "what is done was recorded"


@settings(max_examples=100)
@given(SEEN, st.sampled_from([{"unacked": 1}, {"queued": 1}, {"again": True}, {"stored": frozenset({"FAILURE"})}]))
def test_a_fact_that_speaks_against_it_never_makes_it_good(seen: Observation, fact: dict[str, Any]) -> None:
    if validity_of(judge(seen)) == "invalid":
        assert validity_of(judge(replace(seen, **fact))) == "invalid"
