"""Events: one line each, there and back."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from brownout.history.event import ALL_KINDS, KINDS, Event
from brownout.probes.line import now

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)
EVENTS = st.builds(
    Event,
    at=st.integers(0, 2**63),
    source=st.text(min_size=1),
    kind=st.sampled_from(sorted(ALL_KINDS)),
    key=st.none() | st.text(),
    task=st.none() | st.text(),
    pid=st.integers(0, 2**22),
    data=st.dictionaries(st.text(), JSON, max_size=3),
)


@given(EVENTS)
def test_an_event_goes_through_json_and_back_in_one_line(event: Event) -> None:
    line = event.to_json()
    assert "\n" not in line
    assert line.startswith('{"at":')
    assert Event.from_json(line) == event
    assert hash(Event.from_json(line)) == hash(event)


@pytest.mark.parametrize("line", ["", "[]", "{}", '{"at":"1"}', '{"at":1,"kind":', '{"at":1,"kind":"note"}', "null"])
def test_what_is_no_event_is_refused(line: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        Event.from_json(line)


def test_a_row_of_an_effects_ledger_is_an_effect() -> None:
    row = {"key": "k", "task": "t", "name": "sent", "at": 5, "pid": 9}
    event = Event.from_json(json.dumps(row))
    assert event == Event(5, "effects", "effect", "k", "t", 9, {"name": "sent"})


def test_what_json_cannot_hold_is_written_as_text() -> None:
    assert json.loads(Event(1, "run", "note", data={"x": {1}}).to_json())["data"] == {"x": "{1}"}


def test_the_clock_never_goes_back_and_every_witness_has_its_kinds() -> None:
    assert now() <= now()
    assert {
        "client",
        "worker",
        "api",
        "wire",
        "broker",
        "backend",
        "effects",
        "store",
        "nemesis",
        "relay",
        "run",
    } == set(KINDS)
