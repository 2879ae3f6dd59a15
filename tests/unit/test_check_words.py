"""From the verdicts of a trial to one word: each word, which goes before which, and what can never be good."""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from brownout.check.promises import loop_never_stalls, told_truly, took_effect_once, workers_consume, workers_survive
from brownout.check.registry import CHECKERS, judge_all
from brownout.check.verdict import Anomaly, Verdict
from brownout.check.words import (
    BAD,
    BESIDE,
    CALM,
    FLAGS,
    GOOD,
    OUTCOMES,
    SEVERITY,
    UNKNOWN,
    Outcome,
    outcome,
    parts,
    severity,
    validity_of,
    word,
)
from brownout.history.life import Life
from brownout.history.view import History
from brownout.plan.near import UnknownName
from tests.unit.lives import KEY, TASK, TELLINGS, Facts, at

MAP = (took_effect_once(), told_truly(), workers_survive(), workers_consume(), loop_never_stalls("250ms"))
KINDS = [kind for promise in MAP for kind in CHECKERS[promise.name].anomalies]
REFUSED: dict[str, Any] = {"answered": "refused", "told": "waiting"}
UNANSWERED: dict[str, Any] = {"answered": "unknown", "told": "left"}
WAITING: dict[str, Any] = {"answered": "waiting", "told": "waiting"}
UNDONE: dict[str, Any] = {"effects": (0,)}

#: Whatever is not said is as in a life without a fault. The judge that maps had before found the same words: of all
#: 32,256 combinations of facts, and of the rows of this table.
TABLE: list[tuple[str, dict[str, Any]]] = [
    ("once", {}),
    ("once", {"told": "left"}),  # it was accepted, and whoever wanted to know is no more
    ("recovered", {"again": True}),
    ("refused", {**REFUSED, **UNDONE, "stored": ()}),
    ("misreported", REFUSED),
    ("misreported", {**REFUSED, **UNDONE, "left": "celery"}),
    ("misreported", {**REFUSED, "left": "unacked"}),
    ("unanswered", UNANSWERED),
    ("unanswered", {**UNANSWERED, "again": True}),
    ("unanswered", {**UNANSWERED, **UNDONE, "stored": ()}),
    ("unanswered", {**UNANSWERED, **UNDONE, "left": "celery"}),
    ("duplicate-later", {**UNANSWERED, "left": "unacked"}),
    ("unanswered", {**UNANSWERED, "recorded": True}),
    ("unanswered", {**UNANSWERED, **UNDONE, "recorded": False}),
    ("misreported", {**UNANSWERED, "recorded": False}),  # sent before it was recorded
    ("misreported", {**UNANSWERED, **UNDONE, "recorded": False, "left": "celery"}),
    ("lost", {**UNANSWERED, **UNDONE, "recorded": True}),
    ("stuck", {**UNANSWERED, **UNDONE, "recorded": True, "left": "unacked"}),
    ("unread", {"told": "unread"}),
    ("unread", {"told": "waiting", "again": True}),
    ("misreported", {"stored": ("FAILURE",), "told": "unread"}),
    ("misreported", {"stored": (), "told": "unread"}),
    ("misreported", {"stored": ("FAILURE", "SUCCESS")}),
    ("hangs", WAITING),
    ("hangs", {**WAITING, **UNDONE}),
    ("hangs", {**WAITING, "left": "unacked"}),
    ("duplicate-later", {"left": "unacked"}),
    ("duplicate-later", {"left": "celery", "stored": ("FAILURE",), "told": "unread"}),
    ("duplicate", {"effects": (2,), "left": "unacked", "stored": ()}),
    ("duplicate", {**UNANSWERED, "effects": (2,)}),
    ("duplicate", {**REFUSED, "effects": (2,)}),
    ("duplicate", {"more": (at(31, "effects", "effect", "b", TASK),)}),  # nobody wanted b
    ("duplicate", {"effects": (2, 0)}),  # twice, and another one is missing
    ("stuck", {**UNDONE, "left": "unacked", "told": "unread"}),
    ("stuck", {**UNDONE, "left": "celery", "told": "unread"}),
    ("stuck", {**WAITING, **UNDONE, "left": "unacked"}),
    ("lost", {**UNDONE, "told": "unread", "stored": ()}),
    ("lost", UNDONE),
    ("lost", {"effects": (1, 0)}),
    ("lost+silent", {**WAITING, **UNDONE, "consuming": False}),
    ("once+worker-dead", {"died": True}),
    ("once+worker-dead", {"died": True, "consuming": False}),  # it was not silent: it was not there
    ("once+silent", {"consuming": False}),
    ("once+api-stalled", {"stalled": True}),
    ("lost+api-stalled+worker-dead", {**UNDONE, "died": True, "stalled": True}),
]


def said(history: History) -> str:
    """The word for a history."""
    return str(outcome(judge_all(history, MAP), Life.of(history)))


@pytest.mark.parametrize(("expected", "facts"), TABLE)
def test_the_word_for_what_was_seen(expected: str, facts: dict[str, Any]) -> None:
    assert said(Facts(**facts).history) == expected


def test_every_word_can_be_said() -> None:
    words = [parts(expected) for expected, _ in TABLE]
    assert {first for first, *_ in words} == {*GOOD, *BAD}
    assert {flag for _, *flags in words for flag in flags} == {*FLAGS}


@pytest.mark.parametrize(("status", "expected"), [(500, "unanswered"), (503, "unanswered"), (422, "refused")])
def test_an_error_of_the_server_tells_nothing_and_one_of_the_client_refuses(status: int, expected: str) -> None:
    """A 5xx was "refused" in maps before: a scenario never took it for a refusal, and now both judge alike."""
    kind = "fail" if status < 500 else "info"
    events = [event for event in Facts(**WAITING, **UNDONE, stored=()).history if event.kind != "invoke"]
    request = at(10, "client", "invoke", KEY, op="http", method="POST", path="/jobs")
    answer = at(20, "client", kind, KEY, op="http", status=status)
    assert said(History([request, answer, *events])) == expected


@pytest.mark.parametrize(
    ("kind", "why"),
    [
        ("invoke", "not sent"),
        ("settled", "before the operation was settled"),
        ("consumes", "did not check whether a worker consumes"),
    ],
)
def test_what_was_not_seen_is_unknown(kind: str, why: str) -> None:
    history = History(event for event in Facts().history if event.kind != kind)
    verdicts = judge_all(history, MAP)
    assert said(history) == UNKNOWN
    assert any(why in verdict.why for verdict in verdicts if verdict.validity == "unknown"), verdicts


def test_what_was_not_sent_is_not_lost() -> None:
    history = History(event for event in Facts(**WAITING, **UNDONE, consuming=False).history if event.kind != "invoke")
    assert said(history) == UNKNOWN


def test_a_trial_that_was_not_carried_out_is_unknown_unless_something_is_broken() -> None:
    missed = Verdict("unknown", "the schedule", why="the point was not reached")
    for facts, expected in (Facts(), UNKNOWN), (Facts(**UNDONE), "lost"):
        verdicts = judge_all(facts.history, MAP)
        assert str(outcome([*verdicts, missed], Life.of(facts.history))) == expected


# --- every combination


@pytest.mark.parametrize("doubt", [True, False])
def test_every_combination_of_anomalies_has_a_known_word(doubt: bool) -> None:
    """The first row of the table that was found decides; flags stand beside it, and nothing of them is good."""
    assert set(KINDS) == {kind for kind, _ in OUTCOMES} | {kind for kind, *_ in BESIDE}
    lives = [Life.of(Facts(answered=answer, told=TELLINGS[answer][0]).history) for answer in TELLINGS]
    for chosen, life in product(product([False, True], repeat=len(KINDS)), lives):
        kinds = [kind for kind, there in zip(KINDS, chosen, strict=True) if there]
        verdicts = [Verdict("invalid", "a promise", tuple(Anomaly(kind, "It is.") for kind in kinds))] if kinds else []
        verdicts += [Verdict("unknown", "another")] if doubt else []
        found = outcome(verdicts, life)

        assert parts(str(found)) == (found.word, *found.flags), "it is text that is read again"
        first = next((row for kind, row in OUTCOMES if kind in kinds), None)
        if first:
            assert found.word == first
        elif doubt:
            assert found == Outcome(UNKNOWN)
        else:
            assert found.word == CALM.get((life.answered, False), UNKNOWN)
        assert found.validity != "valid" or not kinds
        assert not {"worker-dead", "silent"} <= {*found.flags}


FACTS = st.builds(
    lambda answer, **facts: Facts(answer[0], answer[1], **facts),
    st.sampled_from([(answered, told) for answered, tellings in TELLINGS.items() for told in tellings]),
    effects=st.lists(st.integers(0, 2), min_size=1, max_size=2).map(tuple),
    left=st.sampled_from(["", "celery", "unacked"]),
    stored=st.sampled_from([(), ("SUCCESS",), ("FAILURE",), ("FAILURE", "SUCCESS")]),
    recorded=st.sampled_from([None, True, False]),
    consuming=st.booleans(),
    died=st.booleans(),
    stalled=st.booleans(),
    again=st.booleans(),
)


@settings(max_examples=150)
@given(FACTS)
def test_no_word_is_better_than_what_was_seen(seen: Facts) -> None:
    found, *flags = parts(said(seen.history))
    more, missing = any(count > 1 for count in seen.effects), not all(seen.effects)
    traces = bool(seen.left or any(seen.effects))

    assert (found == "duplicate") is more
    assert {*flags} <= {*FLAGS}
    assert ("worker-dead" in flags, "api-stalled" in flags) == (seen.died, seen.stalled)
    assert ("silent" in flags) is (not seen.consuming and not seen.died)
    if found in ("once", "recovered"):
        assert (seen.answered, missing, seen.left, seen.stored) == ("accepted", False, "", ("SUCCESS",))
        assert seen.told in ("read", "left")
        assert (found == "recovered") is seen.again
    if seen.answered == "accepted" and missing:
        assert found in BAD
    if found == "refused":
        assert seen.answered == "refused"
        assert not traces
    if found == "unanswered":
        assert seen.answered == "unknown"
        assert not (seen.recorded and missing), "what was recorded is done"
        assert seen.recorded is not False or not traces, "what is done was recorded"


@settings(max_examples=100)
@given(FACTS, st.sampled_from([{"left": "unacked"}, {"left": "celery"}, {"again": True}, {"stored": ("FAILURE",)}]))
def test_a_fact_that_speaks_against_it_never_makes_it_good(seen: Facts, fact: dict[str, Any]) -> None:
    if validity_of(said(seen.history)) == "invalid":
        assert validity_of(said(replace(seen, **fact).history)) == "invalid"


# --- words as text


def test_words_are_written_and_read_again() -> None:
    assert word("lost", ["silent", "api-stalled"]) == "lost+api-stalled+silent"
    assert parts("unknown: the point was not reached") == (UNKNOWN,)
    assert (validity_of("recovered"), validity_of("once+silent"), validity_of("unknown: why")) == (
        *("valid", "invalid", "unknown"),
    )
    for text in ("loss", "once+quiet", "once+"):
        with pytest.raises(UnknownName):
            parts(text)


def test_every_word_has_its_severity_and_the_worst_part_decides() -> None:
    assert sorted(SEVERITY) == sorted([*GOOD, *BAD, *FLAGS, UNKNOWN])
    assert severity("once+silent") > severity("lost") > severity("duplicate") > severity("unknown") > severity("once")
