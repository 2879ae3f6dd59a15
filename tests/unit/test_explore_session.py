"""What a map is made of, and what is told while it is made."""

from dataclasses import replace
from pathlib import Path

import pytest

from brownout.explore import session
from brownout.explore.experiment import CONFIGURATIONS
from brownout.explore.maps.cell import Cell
from brownout.explore.maps.faultmap import FaultMap
from brownout.explore.options import NoMap, Options
from brownout.explore.session import Explored, configured, experiment, explore, setting
from brownout.plan.near import UnknownName
from brownout.run.events import CampaignEnded, CampaignStarted, Event, Handler, Planned


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
        experiment(tmp_path, task="proj.work")
    with pytest.raises(UnknownName, match="no workload"):
        experiment(tmp_path, workload="nothing")


# --- what is told


class Paper:
    """Stands for Campaign: a map without trials."""

    found = FaultMap("late", "task")
    error: BaseException | None = None

    def __init__(self, *_: object) -> None:
        self.discovery = None
        self.planned: tuple[Cell, ...] = ()

    @property
    def own(self) -> tuple[Cell, ...]:
        return self.planned[:1]  # those of a shard

    def __enter__(self) -> None: ...

    def __exit__(self, *_: object) -> None: ...

    def discover(self) -> None:
        if self.error:
            raise self.error

    def attempt(self) -> None: ...

    def map(self, *, complete: bool) -> FaultMap:
        return replace(self.found, complete=complete)


CELL = Cell.parse("worker->broker/ZADD unacked_index;HSET unacked#1/before-cut")


def explored(tmp_path: Path, emit: Handler) -> Explored:
    return explore(experiment(tmp_path, config="late"), Options(repeat=3, emit=emit), lambda _: [CELL, CELL])


def test_a_map_tells_how_many_trials_are_planned_and_what_was_found(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(session, "Campaign", Paper)
    heard: list[Event] = []
    found = explored(tmp_path, heard.append).map
    assert heard == [CampaignStarted("late/task"), Planned(3), CampaignEnded("late/task", found)]
    assert found.complete


def test_a_map_that_breaks_has_an_end_without_a_result(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(session, "Campaign", Paper)
    monkeypatch.setattr(Paper, "error", NoMap("nothing works"))
    heard: list[Event] = []
    with pytest.raises(NoMap):
        explored(tmp_path, heard.append)
    assert heard == [CampaignStarted("late/task"), CampaignEnded("late/task")]
