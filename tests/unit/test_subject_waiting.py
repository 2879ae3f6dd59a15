"""Waiting: the value, the sentence, and one try after the deadline."""

import time

import pytest

from brownout.subject.waiting import NeverHappened, eventually


def test_the_truthy_value_is_returned() -> None:
    values = iter([None, 0, "", "there"])
    assert eventually(lambda: next(values), within=5, every=0, what="a value") == "there"


def test_the_message_says_what_was_awaited_how_long_and_what_was_seen() -> None:
    with pytest.raises(NeverHappened) as caught:
        eventually(lambda: False, within=0.02, what="the queue is empty", evidence=lambda: "3 messages")
    assert str(caught.value) == "still not true after 0.02 s: the queue is empty\n3 messages"
    assert isinstance(caught.value, TimeoutError)


def test_evidence_is_collected_only_at_the_end() -> None:
    seen: list[int] = []
    with pytest.raises(NeverHappened, match="2"):
        eventually(lambda: seen.append(1), within=0, what="never", evidence=lambda: str(len(seen) * 2))


def test_only_named_exceptions_mean_not_yet() -> None:
    def refuse() -> bool:
        raise ConnectionRefusedError("port 1")

    with pytest.raises(NeverHappened, match="ConnectionRefusedError: port 1"):
        eventually(refuse, within=0.01, what="an answer", ignoring=ConnectionError)
    with pytest.raises(ConnectionRefusedError):
        eventually(refuse, within=5, what="an answer", ignoring=KeyError)


def test_an_exception_of_an_earlier_try_is_not_shown() -> None:
    times, tries = iter(range(100)), iter([ValueError("old"), None])

    def condition() -> bool:
        if error := next(tries, None):
            raise error
        return False

    with pytest.raises(NeverHappened) as caught:
        eventually(condition, within=3, every=0, what="x", ignoring=ValueError, clock=lambda: next(times))
    assert next(tries, "it was tried again") == "it was tried again"
    assert "old" not in str(caught.value)


def test_a_stall_of_this_machine_does_not_make_the_condition_false() -> None:
    tries = []

    def condition() -> bool:
        tries.append(1)
        if len(tries) == 1:
            time.sleep(0.05)  # the stall: longer than the deadline
        return len(tries) > 1

    assert eventually(condition, within=0.01, what="the second try")
