"""What the witnesses of a trial say of the application's own record. On files of paper."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from brownout.explore.bench import Bench
from brownout.explore.witnesses import Witnesses
from brownout.history.event import Event

Tasks = list[str | None]


def witnesses(folder: Path, effects: Tasks, records: Tasks | None) -> Witnesses:
    """Of a trial whose warm-up was the task "warm"."""

    def reader(tasks: Tasks) -> Any:
        return lambda _files: lambda: [Event(n, "effects", "effect", task=task) for n, task in enumerate(tasks)]

    mission = SimpleNamespace(
        application=SimpleNamespace(effects=reader(effects), accepted=None if records is None else reader(records)),
        workload=SimpleNamespace(http=True),
    )
    saw = Witnesses(cast("Bench", SimpleNamespace(mission=mission, history=folder / "none", files=folder)), ["job-1"])
    saw.others.add("warm")
    saw.read()
    return saw


@pytest.mark.parametrize(
    ("effects", "records", "recorded"),
    [
        (["warm", "job"], None, None),  # nobody to ask
        (["warm", "job"], ["warm", "job"], True),
        (["warm"], ["warm", "job"], True),  # recorded, and not done
        (["warm", "job"], ["warm"], False),  # done, and not recorded
        (["warm"], ["warm"], False),
        (["warm", "child"], ["warm", "root"], None),  # the row of a chain has the root's id
        (["warm", "child", "root"], ["warm", "root"], True),
        (["warm", "job"], ["warm", None], None),  # the row has no task, or does not have it yet
        (["warm"], ["warm", None], None),  # it may be the warm-up's
        (["warm", None], ["warm", "job"], True),  # the effect has only a key
        (["warm", None], ["warm"], False),
    ],
)
def test_the_job_is_recorded_when_its_effect_is(
    tmp_path: Path, effects: Tasks, records: Tasks | None, recorded: bool | None
) -> None:
    assert witnesses(tmp_path, effects, records).recorded is recorded
