"""What a map is made of, and what is said while it is made."""

import io
from pathlib import Path

import pytest

from brownout.explore.cell import Cell
from brownout.explore.faultmap import CellResult
from brownout.explore.mission import CONFIGURATIONS
from brownout.explore.session import Progress, configured, mission, setting
from brownout.plan.near import UnknownName

LOST = "worker->broker/ZADD unacked_index;HSET unacked#1/before-cut"


def test_settings_are_part_of_the_configuration_and_of_its_name() -> None:
    found = configured("hardened", {"task_acks_late": False, "broker_transport_options.socket_timeout": 9})
    hardened = CONFIGURATIONS["hardened"].settings
    assert found.settings["task_acks_late"] is False
    assert found.settings["broker_transport_options"] == {**hardened["broker_transport_options"], "socket_timeout": 9}
    assert hardened["broker_transport_options"]["socket_timeout"] == 1.5
    assert configured(found.name) == found
    assert found.name == "hardened+task_acks_late=false+broker_transport_options.socket_timeout=9"


@pytest.mark.parametrize(
    ("text", "value"),
    [("x=true", True), ("x=False", False), ("x=None", None), ("x=1.5", 1.5), ("x=a=b", "a=b"), ('x={"a":1}', {"a": 1})],
)
def test_a_setting_is_json_or_text(text: str, value: object) -> None:
    assert setting(text) == ("x", value)


def test_what_the_stock_application_has_not_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="need an application of your own"):
        mission(tmp_path, task="proj.work")
    with pytest.raises(UnknownName, match="no workload"):
        mission(tmp_path, workload="nothing")


# --- while one waits


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def tell(progress: Progress) -> None:
    for words in ({"lost+silent": 2}, {"once": 1}, {"once+silent": 1}, {"unknown: why": 1}, {"recovered": 3}):
        progress.tell("cell", CellResult(Cell.parse(LOST), words))
    progress.tell("control", None)


def test_progress_counts_trials_by_what_became_of_the_task() -> None:
    progress = Progress(io.StringIO(), clock=lambda: 0.0)
    assert progress.text == "looking for the points of a task's life · 0 s"
    progress.total = 109
    assert progress.text == "0 of 109 · 0 good · 0 unknown"
    tell(progress)
    assert progress.text == "8 of 109 · 1 silent · 2 lost · 4 good · 1 unknown"


@pytest.mark.parametrize("stream", [io.StringIO(), Terminal()], ids=["log", "terminal"])
def test_a_terminal_has_one_line_and_a_log_one_each_five_seconds(stream: io.StringIO) -> None:
    times = [0.0]
    progress = Progress(stream, clock=lambda: times[-1])
    progress.total = 9
    for now in (0.1, 4.9, 5.0, 9.9, 10.1):
        times.append(now)
        progress.draw()
    progress.wipe()
    if stream.isatty():
        assert stream.getvalue() == "\r0 of 9 · 0 good · 0 unknown\x1b[K" * 5 + "\r\x1b[K"
    else:
        assert stream.getvalue() == "0 of 9 · 0 good · 0 unknown\n" * 2


@pytest.mark.parametrize("stream", [io.StringIO(), Terminal()], ids=["log", "terminal"])
def test_a_sentence_has_a_line_of_its_own_and_repeats_are_counted(stream: io.StringIO) -> None:
    progress = Progress(stream, clock=lambda: 0.0)
    progress.say("4 trials at once instead of 16")
    progress.draw()
    progress.total = 9
    progress.tell("again", None)
    assert progress.text == "0 of 9 · 0 good · 0 unknown · 1 run again: the machine is busy"
    progress.say("bench 3 did not open")
    progress.wipe()
    assert "4 trials at once instead of 16\n" in stream.getvalue()
    assert stream.getvalue().endswith("bench 3 did not open\n")
