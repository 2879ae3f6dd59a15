"""Every handler gets every event, and what goes wrong in a handler is not hidden."""

import threading
from collections.abc import Callable
from contextlib import AbstractContextManager

import pytest

from brownout.run.events import (
    CampaignEnded,
    CampaignStarted,
    Event,
    Handler,
    Remark,
    Stream,
    TrialEnded,
    TrialStarted,
    campaigning,
    trying,
)

EVENT = Remark("4 trials at once")


class Broken:
    """A handler that always fails."""

    def __init__(self, name: str) -> None:
        self.error = OSError(name)

    def __call__(self, _: Event) -> None:
        raise self.error


def test_all_handlers_hear_an_event_in_their_order() -> None:
    heard: list[tuple[str, Event]] = []
    stream = Stream(lambda event: heard.append(("first", event)), lambda event: heard.append(("second", event)))
    stream(EVENT)
    assert heard == [("first", EVENT), ("second", EVENT)]


def test_one_error_reaches_the_emitter_when_all_others_have_heard() -> None:
    heard: list[Event] = []
    broken = Broken("the disk is full")
    with pytest.raises(OSError, match="the disk is full") as caught:
        Stream(broken, heard.append)(EVENT)
    assert (caught.value, heard) == (broken.error, [EVENT])


def test_several_errors_reach_the_emitter_together() -> None:
    first, second = Broken("first"), Broken("second")
    with pytest.raises(ExceptionGroup, match="2 handlers failed at Remark") as caught:
        Stream(first, second)(EVENT)
    assert caught.value.exceptions == (first.error, second.error)


def test_a_handler_may_emit() -> None:
    heard: list[Event] = []

    def remarks(event: Event) -> None:
        if isinstance(event, TrialStarted):
            stream(EVENT)

    stream = Stream(remarks, heard.append)
    thread = threading.Thread(target=stream, args=(TrialStarted("t"),), daemon=True)
    thread.start()
    thread.join(10)
    assert heard == [EVENT, TrialStarted("t")], "it waits for itself"


Within = Callable[[Handler, str], AbstractContextManager[None]]


@pytest.mark.parametrize(
    ("within", "started", "broke"),
    [(trying, TrialStarted("x"), TrialEnded("x", None)), (campaigning, CampaignStarted("x"), CampaignEnded("x"))],
    ids=["trial", "campaign"],
)
def test_what_breaks_has_an_end_too(within: Within, started: Event, broke: Event) -> None:
    heard: list[Event] = []
    with within(heard.append, "x"):
        assert heard == [started]
    assert heard == [started], "whoever knows the result tells the end"
    with pytest.raises(KeyboardInterrupt), within(heard.append, "x"):
        raise KeyboardInterrupt
    assert heard == [started, started, broke]
