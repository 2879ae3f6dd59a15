"""A capsule is read from the folder of a trial; what a second trial shows is compared with it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from brownout import at_least_once, drained, kill, must_show, post, started
from brownout.check.verdict import Anomaly, Verdict
from brownout.history.event import Event
from brownout.history.view import History
from brownout.plan.plan import Injection, Plan
from brownout.probes.configuration import LEFT_OUT
from brownout.run.capsule import Broken, Capsule, answer, configuration, differences, write
from brownout.run.result import Result
from brownout.run.store import write as write_json

PLAN = Plan(
    load=(post("/jobs", every="50ms", count=3),),
    injections=(Injection(kill(), "worker-1", started()),),
    promises=(at_least_once(within="5s"), must_show("lost", under=at_least_once()), drained()),
)
READ = Plan.from_json(PLAN.to_json())
ONCE, SHOWN, DRAINED = map(str, READ.promises)
LOST, HOLE = Broken("lost", ONCE), Broken("lost", SHOWN)


def verdict(validity: Any, n: int, *kinds: str, why: str = "") -> tuple[int, Verdict]:
    """Of the nth promise."""
    return n, Verdict(validity, "", tuple(Anomaly(kind, f"{kind}!") for kind in kinds), why)


def result(folder: Path, *judged: tuple[int, Verdict], plan: Plan = PLAN) -> Result:
    """The promises that are not judged hold."""
    told = {n: Verdict("valid", "") for n in range(len(plan.promises))} | dict(judged)
    verdicts = tuple(replace(told[n], promise=str(promise)) for n, promise in enumerate(plan.promises))
    return Result("t.py::test_x", plan, verdicts, History(), folder, 1.0)


def stored(folder: Path, *verdicts: tuple[int, Verdict], application: Any = "") -> Path:
    folder.mkdir(exist_ok=True)
    write(folder, PLAN, "t.py::test_x", application)
    write_json(folder / "results.json", result(folder, *verdicts).summary())
    return folder


@pytest.mark.parametrize("name", ["", "plan.json"])
def test_a_capsule_is_read_from_its_plan_or_its_folder(tmp_path: Path, name: str) -> None:
    folder = stored(tmp_path / "trial", verdict("invalid", 0, "lost", "lost"), verdict("valid", 1, "lost"))
    capsule = Capsule.load(folder / name)
    assert (capsule.folder, capsule.plan, capsule.scenario, capsule.application) == (folder, PLAN, "t.py::test_x", "")
    assert capsule.broken == (LOST, HOLE)


def test_what_was_broken_comes_before_what_was_expected(tmp_path: Path) -> None:
    folder = stored(tmp_path / "t", verdict("valid", 1, "lost"), verdict("invalid", 2, "undrained"), application="a:b")
    capsule = Capsule.load(folder)
    assert capsule.broken == (Broken("undrained", DRAINED), HOLE)
    assert capsule.application == "a:b"


def test_a_capsule_is_a_plan_too(tmp_path: Path) -> None:
    text = (stored(tmp_path / "trial", application={"celery": "app"}) / "plan.json").read_text()
    assert Plan.from_json(text) == PLAN


@pytest.mark.parametrize(
    ("file", "content", "why"),
    [
        ("results.json", None, "is no stored trial that has ended"),
        ("plan.json", None, "is no stored trial that has ended"),
        ("plan.json", "{", "cannot be read"),
        ("plan.json", '{"schema": 99}', "another schema"),
        ("results.json", '{"verdicts": 3}', "cannot be read"),
    ],
)
def test_what_is_no_capsule_is_one_line(tmp_path: Path, file: str, content: str | None, why: str) -> None:
    folder = stored(tmp_path / "trial", verdict("invalid", 0, "lost"))
    (folder / file).unlink() if content is None else (folder / file).write_text(content)
    with pytest.raises(ValueError, match=why) as caught:
        Capsule.load(folder)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("verdicts", "word", "why"),
    [
        ([verdict("invalid", 0, "late", "lost")], "reproduced", f"lost under {ONCE}: lost!"),
        ([verdict("invalid", 0, "lost"), verdict("unknown", 2)], "reproduced", "lost!"),
        ([], "fixed", "no lost under"),
        ([verdict("unknown", 2, why="the drain did not end")], "unknown", "the drain did not end"),
        ([verdict("invalid", 2, "undrained")], "fixed", "no lost"),
        ([verdict("invalid", 0, "duplicate")], "unknown", "another anomaly did: duplicate under"),
        ([verdict("invalid", 1, "missing")], "fixed", "no lost"),
        ([verdict("valid", 1, "lost")], "unknown", "another anomaly did: lost under must_show"),
    ],
)
def test_an_anomaly_is_reproduced_only_by_the_same_kind_of_the_same_promise(
    tmp_path: Path, verdicts: list[tuple[int, Verdict]], word: str, why: str
) -> None:
    """`undrained` was there before, too; an anomaly that was not is no fix."""
    again = result(tmp_path, *verdicts, plan=READ)
    found, told = answer(again, [LOST], [LOST, Broken("undrained", DRAINED)])
    assert found == word
    assert why in told


# --- settings


def ready(source: str, **conf: Any) -> Event:
    return Event(1, source, "ready", data={"conf": conf})


def test_the_configuration_is_that_of_the_first_process_of_each_role_without_the_trials_own_places() -> None:
    history = History((
        ready("worker-2", application={"url": "redis://127.0.0.1:4001/0", "file": "/t/files/system.db"}),
        ready("worker-1", application={"url": "redis://127.0.0.1:4000/0"}),
        ready("api", application={}),
    ))  # fmt: skip
    places = {"127.0.0.1:4001": "broker", "127.0.0.1:4000": "broker", "/t/files": "files"}
    assert configuration(history, {"A_TOKEN": "x", "B": "{broker}"}, places) == {
        "worker": {"application": {"url": "redis://{broker}/0", "file": "{files}/system.db"}},
        "api": {"application": {}},
        "env": {"A_TOKEN": LEFT_OUT, "B": "{broker}"},
    }


def test_what_differs_between_two_trials_is_told_by_name(tmp_path: Path) -> None:
    before, now = tmp_path / "before", tmp_path / "now"
    for folder, version, conf in (
        (before, "5.6.0", {"worker": {"celery": {"include": ["a", "b"], "task_acks_late": True, "gone": 1}}}),
        (now, "5.7.0", {"worker": {"celery": {"include": ["b", "a"], "task_acks_late": False}}}),
    ):
        folder.mkdir()
        write_json(folder / "env.json", {"celery": version, "python": "3.12"})
        write_json(folder / "conf.json", conf)
    assert differences(before, now) == [
        'celery: "5.6.0" in the stored trial, "5.7.0" now',
        "worker.celery.gone: 1 in the stored trial, nothing now",
        "worker.celery.task_acks_late: true in the stored trial, false now",
    ]
    (before / "conf.json").unlink()
    assert differences(before, now)[1:] == ["the settings of the stored trial are not known: there is no conf.json"]


@pytest.mark.parametrize("text", ["", "8025", "url", '"'])
def test_a_place_is_looked_for_in_texts_alone(text: str) -> None:
    """A service may be written as a number or as nothing: the settings stay what they were."""
    history = History([Event(1, "worker-1", "ready", data={"conf": {"url": 8025, "port": None, "names": ["a", 2]}})])
    found = configuration(history, {}, {text: "svc"})
    assert found == {"worker": {"url": 8025, "port": None, "names": ["a", 2]}, "env": {}}


def test_the_longest_place_comes_first() -> None:
    history = History([Event(1, "worker-1", "ready", data={"conf": {"at": ["/t/files/x", "/t/y"]}})])
    found = configuration(history, {}, {"/t": "root", "/t/files": "files"})
    assert found["worker"] == {"at": ["{files}/x", "{root}/y"]}


def test_a_file_that_is_json_but_no_plan_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "plan.json").write_text("[]")
    (tmp_path / "results.json").write_text("{}")
    with pytest.raises(ValueError, match="cannot be read as a stored trial"):
        Capsule.load(tmp_path)
