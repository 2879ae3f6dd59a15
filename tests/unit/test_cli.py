"""The command line without a trial: options, exit codes, stored maps."""

import json
import os
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from brownout.cli import main
from brownout.cli.application import CELERY_ENV
from brownout.explore.campaign import Campaign
from brownout.explore.discovery import Discovery
from brownout.explore.experiment import Experiment
from brownout.explore.maps.action import chosen
from brownout.explore.maps.cell import Cell
from brownout.explore.maps.cell_result import CellResult, Controls
from brownout.explore.maps.faultmap import FaultMap
from brownout.explore.maps.pairs import Pair
from brownout.explore.maps.pairs_map import PairMap, PairResult
from brownout.explore.options import NoMap, Options
from brownout.explore.session import Explored, Plan, called
from brownout.plan.shard import Shard
from brownout.run.events import CampaignEnded, Remark
from brownout.subject.application import NotImportable, Surface
from brownout.subject.processes.forks import NotForkable
from brownout.subject.servers.ladder import NoRedis

LOST = "worker->broker/ZADD unacked_index;HSET unacked#1/before-cut"
STUCK = "worker->broker/ZADD unacked_index;HSET unacked#1/after-cut"
GOOD = "client->broker/LPUSH celery#1/before-cut"
REPEATED = "worker->broker/ZREM unacked_index;HDEL unacked#1/before-misconf"


def seen(cell: str, *words: str) -> CellResult:
    return CellResult(Cell.parse(cell), {word: words.count(word) for word in words}, witness=(f"proof of {words[0]}",))


def stored(path: Path, *cells: CellResult, **more: Any) -> FaultMap:
    trace = tuple(dict.fromkeys(cell.cell.point for cell in cells))
    given: dict[str, Any] = {"name": "defaults", "workload": "task", "controls": Controls(2), "complete": True}
    map_ = FaultMap(cells=cells, seconds=30.0, **given | {"trace": trace} | more)
    path.parent.mkdir(parents=True, exist_ok=True)
    map_.save(path)
    return map_


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current directory; what is stored there is `defaults-task`."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("GITHUB_STEP_SUMMARY", raising=False)
    stored(tmp_path / "store" / "maps" / "defaults-task.json", seen(LOST, "lost"), seen(STUCK, "stuck"),
           seen(GOOD, "once"), seen(REPEATED, "duplicate"))  # fmt: skip
    return tmp_path


Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    def run(*argv: str) -> tuple[int, str, str]:
        try:
            code = main(argv)
        except SystemExit as ended:
            code = int(ended.code or 0)
        said = capsys.readouterr()
        return code, said.out, said.err

    return run


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["map", "--jobs", "0"], "argument --jobs: a whole number from 1 is wanted, not '0'"),
        (["map", "--repeat", "many"], "argument --repeat: a whole number"),
        (["map", "--args", "{}"], "argument --args: a JSON array is wanted, not '{}'"),
        (["map", "--kwargs", "[1"], "argument --kwargs: a JSON object is wanted"),
        (["pairs", "--sample", "none"], "argument --sample: a whole number"),
        (["pairs", "--seed", "one"], "argument --seed: invalid int value: 'one'"),
        (["map", "--provider", "dokcer"], "no provider is called 'dokcer'; known: auto, container, embedded, local"),
        ([], "brownout: error: the following arguments are required: COMMAND"),
        (["mpa"], "brownout: error: no command is called 'mpa'; did you mean 'map'"),
        (["list", "pionts"], "brownout list: error: no list is called 'pionts'; did you mean 'points'"),
        (["--verson", "map"], "brownout: error: no option is called '--verson'; did you mean '--version'"),
        (["map", "--confg", "late"], "brownout map: error: no option is called '--confg'; did you mean '--config'"),
        (["map", "--conf=late"], "brownout map: error: no option is called '--conf'; did you mean '--config'"),
        (["list", "points", "--cofnig", "late"], "brownout list points: error: no option is called '--cofnig'"),
        (["pairs", "--baseline", "b.toml"], "brownout pairs: error: no option is called '--baseline'"),
        (["list", "actions", "--config", "late"], "brownout list actions: error: no option is called '--config'"),
        (["map", "--shard", "5/4"], "argument --shard: a shard is N/M with N from 1 to M, such as 2/4, not '5/4'"),
        (["pairs", "--shard", "1,2/4"], "argument --shard: one shard is wanted, such as 2/4, not '1,2/4'"),
        (["map", "--again", "--shard", "1/2"], "--shard divides a map: no CELL, no --again"),
        (["map", GOOD, "--shard", "1/2"], "--shard divides a map: no CELL, no --again"),
        (["merge", "defaults-task"], "a whole map is among the parts; a part is made with --shard"),
        (["merge", "late-task"], "no map is stored at late-task; in store/maps: defaults-task"),
        (["merge"], "brownout merge: error: the following arguments are required: PART"),
        (["diff", "a", "b", "c"], "brownout diff: error: too many arguments: c"),
        (["pairs", LOST], "brownout pairs: error: too many arguments: worker->broker/ZADD"),
        (["map", "--pairs", "--sample", "4"], "brownout map: error: --pairs is a command now: brownout pairs"),
        (["map", "--show", "late-task"], "brownout map: error: --show is a command now: brownout show FILE"),
        (["map", "--diff", "a", "b"], "brownout map: error: --diff is a command now: brownout diff A B"),
        (["map", "--list=actions"], "brownout map: error: --list is a command now: brownout list WHAT"),
        (["map", "--actions", "cut,kil"], "brownout map: error: no action is called 'kil'; did you mean 'kill'"),
        (["pairs", "--actions", "cut", "kil"], "brownout pairs: error: no action is called 'kil'"),
        (["show", "defaults-task", "--actions", "kil"], "no action is called 'kil'"),
        (["diff", "defaults-task", "defaults-task", "--actions", "kil"], "no action is called 'kil'"),
        (["map", "--config", "defautls"], "no configuration is called 'defautls'; did you mean 'defaults'"),
        (["map", "--workload", "tsak"], "no workload is called 'tsak'; did you mean 'task'"),
        (["map", "--set", "task_ack_late=true"], "no setting of Celery is called 'task_ack_late'; did you mean"),
        (["map", "--set", "task_acks_late"], "a setting is written name=value"),
        (["map", "--task", "proj.work"], "belong to an --app of your own"),
        (["map", "--queue", "mine"], "belong to an --app of your own"),
        (["map", "--app", "own", "--env", "BROKER"], "--env is NAME=VALUE: 'BROKER'"),
        (["map", "--experiment", "nowhere:http"], "nowhere can't be imported from"),
        (["map", "--experiment", "brownout.explore.experiment:STCK"], "no experiment of brownout.explore.experiment"),
        (["map", "--experiment", "tests.unit.test_cli:OWN", "--workload", "task"], "an --experiment has its own"),
        (["map", "--again", "--point", "ZADD"], "--again takes its cells from the stored map"),
        (["map", "a->b/X#1/before-cut", "--point", "ZADD"], "a CELL goes without --point, --actions and --again"),
        (["map", "a->b/X#1/before-cut", "--actions", "cut"], "a CELL goes without --point, --actions and --again"),
        (["map", "a->b/X#1/before-cut", "--again"], "a CELL goes without --point, --actions and --again"),
        (["show", "defaults-task", GOOD, "--point", "ZADD"], "a CELL goes without --point and --actions"),
        (["map", "--baseline", "nowhere.toml"], "nowhere.toml"),
        (["map", "--save", "store/maps/defaults-task.json/x/map.json"], "Not a directory"),
        (["pairs", "--save", "store/maps"], "store/maps is a folder; a file is wanted"),
        (["show", "defaults-task", "--json", "store/maps/defaults-task.json/x/map.json"], "Not a directory"),
        (["map", "--again", "--config", "late"], "no map is stored at store/maps/late-task.json; in store/maps: "),
        (["map", "--again", "nowhere.json"], "no map is stored at nowhere.json; in store/maps: defaults-task"),
        (["show", "late-task"], "no map is stored at late-task; in store/maps: defaults-task"),
        (["show", "defaults-task", "worker->broker/ZAD#1/before-cut"], "did you mean 'worker->broker/ZADD#1/"),
        (["show", "defaults-task", "--point", "LPSH"], "no point is called 'LPSH'; known: client->broker/LPUSH#1"),
    ],
    ids=lambda given: " ".join(given) if isinstance(given, list) else "",
)  # fmt: skip
def test_a_wrong_command_is_explained_and_is_no_verdict(run: Run, argv: list[str], said: str) -> None:
    code, out, err = run(*argv)
    assert (code, out) == (64, "")
    assert said in err
    assert err.count("\n") == 1


def test_a_map_is_shown_with_the_command_for_each_bad_cell(run: Run) -> None:
    code, out, _ = run("show", "defaults-task")
    assert code == 1
    assert "  lost       brownout map 'worker->broker/ZADD#1/before-cut'\n" in out
    assert "  stuck      brownout map 'worker->broker/ZADD#1/after-cut'\n" in out
    assert "map 'client->broker/LPUSH#1/before-cut'" not in out
    assert "4 cells: 1 good, 3 bad, 0 unknown" in out
    assert out.endswith("✗ invalid: exit code 1\n")
    assert run("show", "store/maps/defaults-task.json")[1] == out


def test_only_what_is_bad_comes_with_its_proof(run: Run) -> None:
    _, out, _ = run("show", "defaults-task", "--only-bad")
    assert "proof of lost" in out
    assert "  Again     brownout map 'worker->broker/ZADD#1/before-cut'\n" in out
    assert "LPUSH" not in out


@pytest.mark.parametrize(
    ("argv", "code", "cells"),
    [
        (["--point", "LPUSH"], 0, 1),
        (["--point", "ZADD"], 1, 2),
        (["--actions", "cut"], 1, 3),
        (["--actions", "misconf"], 1, 1),
        (["--actions", "standard"], 1, 3),
        (["--point", "LPUSH", "--only-bad"], 0, 0),
    ],
)
def test_filters_choose_what_is_shown_and_judged(run: Run, argv: list[str], code: int, cells: int) -> None:
    got, out, _ = run("show", "defaults-task", *argv, "--json", "-")
    assert (got, len(FaultMap.from_json(out).cells)) == (code, cells)


def test_one_cell_of_a_stored_map_is_judged_alone(run: Run) -> None:
    code, out, _ = run("show", "defaults-task", "client->broker/LPUSH#1/before-cut")
    assert code == 0
    assert out.startswith("✓ client->broker/LPUSH#1/before-cut  valid · once ×1")
    assert run("show", "defaults-task", LOST)[0] == 1
    assert "nothing to show" in run("show", "defaults-task", GOOD, "--only-bad")[1]
    assert run("show", "defaults-task", "--only-bad", GOOD)[1] == run("show", "defaults-task", GOOD, "--only-bad")[1]


def test_the_command_says_of_which_map_it_is(run: Run, place: Path) -> None:
    stored(place / "late.json", seen(LOST, "lost"), name="late+task_time_limit=3", workload="first")
    assert (
        "'worker->broker/ZADD#1/before-cut' --config late+task_time_limit=3 --workload first\n"
        in run("show", "late.json")[1]
    )
    stored(place / "own.json", seen(LOST, "lost"), name="own", options=("--experiment", "there:http"))
    assert "'worker->broker/ZADD#1/before-cut' --experiment there:http\n" in run("show", "own.json")[1]


def test_json_goes_to_a_file_beside_the_grid(run: Run, place: Path) -> None:
    code, out, _ = run("show", "defaults-task", "--json", "new/map.json")
    assert (code, "4 cells" in out) == (1, True)
    whole = FaultMap.load(place / "store" / "maps" / "defaults-task.json")
    assert FaultMap.load(place / "new" / "map.json") == whole
    err = run("show", "defaults-task", "--point", "LPUSH", "--json", "store/maps/defaults-task.json")[2]
    assert err == "stored in store/maps/defaults-task.part.json\n"
    assert FaultMap.load(place / "store" / "maps" / "defaults-task.json") == whole


def test_an_interrupted_or_a_void_map_proves_nothing(run: Run, place: Path) -> None:
    stored(place / "part.json", seen(GOOD, "once"), complete=False)
    stored(place / "void.json", seen(LOST, "lost"), controls=Controls(1, ("lost",)))
    stored(place / "good.json", seen(GOOD, "once"))
    assert [run("show", f"{name}.json")[0] for name in ("part", "void", "good")] == [2, 2, 0]
    assert "a trial without a fault went wrong" in run("show", "void.json", "worker->broker/ZADD#1/before-cut")[1]


ENTRY = """
[[accepted]]
cell = "{cell}"
map = "defaults/task"
outcome = "{outcome}"
reason = "kombu writes it down after it took it"
link = "https://example.org/1"
expires = {expires}
"""


@pytest.mark.parametrize(
    ("cell", "outcome", "expires", "code", "said"),
    [
        (LOST, "lost", "2999-01-01", 0, "1 accepted by the baseline"),
        ("worker->broker/ZADD#1/before-cut", "lost", "2999-01-01", 0, "1 accepted by the baseline"),
        (LOST, "lost", "2020-01-01", 1, "expired: worker->broker/ZADD#1/before-cut: lost ×1; baseline.toml:2"),
        (LOST, "stuck", "2999-01-01", 1, "changed: "),
        (STUCK, "stuck", "2999-01-01", 1, "stray: "),
        (GOOD, "lost", "2999-01-01", 1, "the cell is good now: remove the entry at baseline.toml:2"),
    ],
    ids=["full", "short", "expired", "changed", "stray", "healed"],
)
def test_a_baseline_is_the_judge(
    run: Run, place: Path, cell: str, outcome: str, expires: str, code: int, said: str
) -> None:
    stored(place / "map.json", seen(LOST, "lost"), seen(GOOD, "once"))
    (place / "baseline.toml").write_text(ENTRY.format(cell=cell, outcome=outcome, expires=expires))
    got, out, _ = run("show", "map.json", "--baseline", "baseline.toml")
    assert got == code
    assert said in out
    assert out.endswith(f"exit code {code}\n")


def test_a_baseline_with_a_mistake_is_a_wrong_command(run: Run, place: Path) -> None:
    (place / "baseline.toml").write_text(ENTRY.format(cell=LOST, outcome="lots", expires="2999-01-01"))
    code, _, err = run("show", "defaults-task", "--baseline", "baseline.toml")
    assert code == 64
    assert "baseline.toml:2: no outcome is called 'lots'; did you mean 'lost'" in err


def test_a_difference_is_judged_by_what_is_worse(run: Run, place: Path) -> None:
    stored(place / "a.json", seen(LOST, "lost"), seen(GOOD, "once"))
    stored(place / "b.json", seen(LOST, "recovered"), seen(GOOD, "once"), name="late")
    stored(place / "c.json", seen(LOST, "unknown: why"), seen(GOOD, "once"))
    stored(place / "d.json", seen(LOST, "stuck"), seen(GOOD, "once"), name="late")
    steps = {"ab": 0, "ba": 1, "aa": 0, "ac": 2, "ad": 0, "da": 1}
    assert {step: run("diff", *(f"{one}.json" for one in step))[0] for step in steps} == steps
    _, out, _ = run("diff", "b.json", "a.json")
    assert "worse: 1 (was good, is bad)\n  worker->broker/ZADD#1/before-cut  recovered → lost" in out
    worse = [{"cell": LOST, "was": ["recovered"], "now": ["lost"]}]
    assert json.loads(run("diff", "b.json", "a.json", "--json", "-")[1])["worse"] == worse
    assert run("diff", "b.json", "a.json", "--json", "new/diff.json")[1] == out
    assert json.loads((place / "new" / "diff.json").read_text())["worse"] == worse


def test_a_difference_is_that_of_the_cells_asked_for(run: Run, place: Path) -> None:
    stored(place / "a.json", seen(LOST, "once"), seen(GOOD, "once"), seen(REPEATED, "once"))
    stored(place / "b.json", seen(LOST, "lost"), seen(GOOD, "once"), seen(REPEATED, "once"), name="late")
    maps = ["a.json", "b.json"]
    assert run("diff", *maps, "--point", "LPUSH")[0] == 0
    assert run("diff", *maps, "--actions", "misconf")[0] == 0
    assert run("diff", *maps, "--point", "ZADD", "--actions", "cut,misconf")[0] == 1


@pytest.mark.parametrize(
    ("what", "line"),
    [
        ("actions", "cut             before, after   the connection ends (FIN)"),
        ("workloads", "chord           a chord of two tasks and a body"),
        ("configs", "late            Celery's default settings with task_acks_late"),
    ],
)
def test_what_can_be_named_is_listed(run: Run, what: str, line: str) -> None:
    code, out, _ = run("list", what)
    assert code == 0
    assert line in out.splitlines()


@pytest.mark.parametrize("error", [RuntimeError("it broke"), OSError("it broke"), ValueError("it broke")], ids=repr)
def test_a_harness_that_breaks_is_unknown_never_invalid(
    run: Run, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def broken(*_: object) -> None:
        raise error

    monkeypatch.setattr("brownout.explore.session.explore", broken)
    code, _, err = run("map")
    assert code == 2
    assert f"{type(error).__name__}: it broke\n" in err
    assert err.splitlines()[-1] == f"brownout map: error: brownout itself failed, and proves nothing: {error!r}"


# --- a run, with trials that are forged


class Forged:
    """Stands for `explore`: remembers what it was asked for."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *words: str, stopped: int = 0) -> None:
        monkeypatch.setattr("brownout.explore.session.explore", self)
        self.words, self.stopped = words, stopped
        self.planned: list[str] = []

    def __call__(self, experiment: Experiment, options: Options, plan: Plan) -> Explored:
        cells = tuple(Cell.parse(cell) for cell in (GOOD, LOST, STUCK, REPEATED))
        points = tuple(dict.fromkeys(cell.point for cell in cells))

        def possible(actions: tuple[str, ...] = ("all",)) -> tuple[Cell, ...]:
            return tuple(cell for cell in cells if cell.action in [one.name for one in chosen(actions)])

        planned = plan(cast(Campaign, SimpleNamespace(discovery=Discovery(points, {}), possible=possible)))
        self.experiment, self.options, self.planned = experiment, options, [cell.full for cell in planned]
        results = tuple(CellResult(cell, {word: 1}) for cell, word in zip(planned, self.words, strict=False))
        found = FaultMap(experiment.configuration.name, experiment.workload.name, trace=points, cells=results,
                         controls=Controls(1), complete=not self.stopped, options=options.words,
                         part=not set(cells[:3]) <= set(planned), shard=str(options.shard or ""))  # fmt: skip
        options.emit(CampaignEnded(experiment.title, found))
        return Explored(found, called(points, cells), self.stopped)


def test_a_whole_map_is_stored_and_says_where(run: Run, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    forged = Forged(monkeypatch, "once", "once", "recovered")
    code, out, err = run("map", "--config", "late", "--set", "task_time_limit=3", "--workload", "first")
    assert (code, out.splitlines()[-1]) == (0, "✓ valid: exit code 0")
    assert forged.planned == [GOOD, LOST, STUCK], "misconf is not a standard action"
    assert forged.options.cold > 0
    name = "store/maps/late-task_time_limit-3-first.json"
    assert err == f"stored in {name}\n"
    assert FaultMap.load(place / name).title == "late+task_time_limit=3/first"
    assert (place / "store" / ".gitignore").read_text() == "*\n"


def test_a_experiment_of_ones_own(run: Run, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = ["from dataclasses import replace", "from pathlib import Path", "from brownout.explore.experiment import *"]
    lines += ["http = Experiment(STOCK, Path(), OWN, Workload('http', 'a request'), 'work')"]
    (place / "missions_of_test_cli.py").write_text("\n".join(lines))
    monkeypatch.setattr("sys.path", [*sys.path])
    Forged(monkeypatch, "once", "lost", "once")
    of = ["--experiment", "missions_of_test_cli:http"]
    code, out, _ = run("map", *of)
    assert code == 1
    assert "brownout map 'worker->broker/ZADD#1/before-cut' --experiment missions_of_test_cli:http\n" in out
    assert FaultMap.load(place / "store" / "maps" / "own-http.json").title == "own/http"
    assert "--experiment missions_of_test_cli:http\n" in run("show", "own-http")[1]

    for base, config in {"own": [], "late": ["--config", "late"]}.items():
        _, out, _ = run("map", *of, *config, "--set", "task_time_limit=3")
        assert f"/before-cut' --experiment missions_of_test_cli:http --config {base}+task_time_limit=3\n" in out
    err = run("map", *of[:1], of[1][:-2] + "p")[2]
    assert "no experiment of missions_of_test_cli is called 'htp'; did you mean 'http'" in err


@pytest.mark.parametrize("command", [["map"], ["pairs"], ["list", "points"]], ids=" ".join)
def test_what_is_broken(run: Run, monkeypatch: pytest.MonkeyPatch, command: list[str]) -> None:
    forged = ForgedPairs(monkeypatch) if command == ["pairs"] else Forged(monkeypatch, "lost", "once", "once")
    monkeypatch.setattr("brownout.explore.session.surface", lambda *_: Surface(("own.add",), ()))
    _, out, _ = run(*command, "--app", "own", "--task", "own.add", "--args", "[1]", "--kwargs", '{"b": 2}', "--env",
                    "MODE=x", "URL=a=b", "--queue", "fast", "slow", "--provider", "embedded")  # fmt: skip
    experiment, application = forged.experiment, forged.experiment.application
    assert (application.celery, application.queues) == ("own", ("fast", "slow"))
    assert dict(application.env) == CELERY_ENV | {"MODE": "x", "URL": "a=b"}
    assert (experiment.task, experiment.args, experiment.kwargs) == ("own.add", (1,), {"b": 2})
    assert forged.options.provider == "embedded"
    if command == ["map"]:
        (again,) = (line.partition("brownout map ")[2] for line in out.splitlines() if "brownout map" in line)
        assert shlex.split(again)[1:] == [
            *("--app", "own", "--task", "own.add", "--env", "MODE=x", "URL=a=b", "--queue", "fast", "slow"),
            *("--args", "[1]", "--kwargs", '{"b": 2}', "--provider", "embedded"),
        ]

    run(*command, "--config", "late", "--set", "task_time_limit=3", "--workload", "first")
    assert forged.experiment.title == "late+task_time_limit=3/first"
    assert forged.options.provider is None
    monkeypatch.setattr("sys.path", [*sys.path])
    monkeypatch.setattr("brownout.explore.experiment.MINE", replace(forged.experiment, task="mine"), raising=False)
    run(*command, "--experiment", "brownout.explore.experiment:MINE")
    assert forged.experiment.task == "mine"


def test_an_application_is_started_as_its_owner_starts_it(
    run: Run, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    forged = Forged(monkeypatch, "lost", "once", "once")
    monkeypatch.setattr("brownout.explore.session.surface", lambda *_: Surface(("own.add",), ()))
    worker = "cd back && LEVEL=1 API_TOKEN=hunter2 celery -A tasks worker -Q a,b -P threads -c 4 -E"
    asked = ["--task", "own.add", "--api", "cd web && uvicorn main:app --factory", "--ready", "/up", "--prepare",
             "true", "cp seed.db {files}", "--python", sys.executable, "--warm-up", "90"]  # fmt: skip
    _, out, _ = run("map", "--worker", worker, *asked)
    application = forged.experiment.application
    assert (application.celery, application.api, application.ready) == ("tasks", "main:app()", "/up")
    assert (application.queues, application.pool, application.concurrency) == (("a", "b"), "threads", 4)
    assert (application.options, application.python, application.env_file) == (("-E",), "", ".env")
    assert application.folders == {"worker": "back", "api": "web"}
    assert application.part_env == {"worker": {"LEVEL": "1", "API_TOKEN": "hunter2"}}
    assert application.prepare == ("true", "cp seed.db {files}")
    assert (forged.experiment.warm_up, forged.experiment.workload.name) == (90.0, "task")
    (again,) = (shlex.split(line) for line in out.splitlines() if "brownout map" in line)
    start = again.index("--worker")
    assert again[start + 1] == worker.replace("hunter2", "…")
    code, _, err = run("map", "--worker", again[start + 1], *asked)
    assert (code, "API_TOKEN=… needs its value" in err) == (64, True)


@pytest.mark.parametrize(
    ("asked", "why"),
    [
        (["--app", "own", "--worker", "celery -A own worker"], "--worker names its application itself"),
        (["--api", "uvicorn main:app"], "belong to an --app of your own, or to a --worker"),
        (["--worker", "python worker.py"], "starts with celery is wanted"),
        (["--app", "own", "--warm-up", "0"], "a number of seconds above 0 is wanted"),
    ],
)
def test_what_starts_no_application_is_one_line(run: Run, asked: list[str], why: str) -> None:
    code, _, err = run("map", *asked)
    assert (code, why in err, err.count("\n")) == (64, True, 1)


def test_a_secret_of_the_environment_is_neither_stored_nor_printed(
    run: Run, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    forged = Forged(monkeypatch, "lost", "once", "once")
    monkeypatch.setattr("brownout.explore.session.surface", lambda *_: Surface(("own.add",), ()))
    app = ["--app", "own", "--task", "own.add", "--env"]
    secrets = ["DB_PWD=hunter2", "DATABASE=host=db password=hunter2", "MODE=x", "REDIS_DSN={broker}"]
    code, out, _ = run("map", *app, *secrets)
    assert (code, forged.experiment.application.env["DB_PWD"]) == (1, "hunter2")
    written = ["DB_PWD=…", "DATABASE=…", "MODE=x", "REDIS_DSN={broker}"]
    (path,) = [path for path in (place / "store" / "maps").iterdir() if "own" in path.read_text()]
    assert FaultMap.load(path).options == (*app, *written)
    assert "hunter2" not in out + path.read_text()
    (again,) = (line.partition("brownout map ")[2] for line in out.splitlines() if "brownout map" in line)
    assert shlex.split(again)[1:] == [*app, *written]

    code, _, err = run("map", *shlex.split(again))
    assert code == 64
    assert "--env DB_PWD=… needs its value: values that look like secrets are not stored" in err


def test_points_are_listed_by_their_names(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    forged = Forged(monkeypatch)
    code, out, err = run("list", "points")
    assert (code, err, forged.planned) == (0, "", [])
    assert f"{'worker->broker/ZADD#1':<32} ZADD unacked_index;HSET unacked\n" in out
    assert len(out.splitlines()) == 3


def test_what_comes_out_of_a_run(run: Run, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    forged = Forged(monkeypatch, "lost", "once", "once")
    (place / "baseline.toml").write_text(ENTRY.format(cell=GOOD, outcome="lost", expires="2999-01-01"))
    code, out, _ = run("map", "--only-bad", "--json", "out/map.json", "--markdown", "out/map.md", "--jobs", "7",
                       "--baseline", "baseline.toml")  # fmt: skip
    assert (code, forged.options.jobs) == (0, 7)
    assert "1 accepted by the baseline" in out
    assert "ZADD" not in out
    assert [result.cell.full for result in FaultMap.load(place / "out" / "map.json").cells] == [GOOD]
    assert "LOST" in (place / "out" / "map.md").read_text()
    assert "ZADD" not in (place / "out" / "map.md").read_text()


@pytest.mark.parametrize(
    "argv",
    [["--point", "ZADD"], ["--actions", "misconf"], [LOST], ["--again"]],
    ids=lambda argv: argv[0].partition("/")[0],
)
def test_a_part_replaces_no_whole_map(run: Run, place: Path, monkeypatch: pytest.MonkeyPatch, argv: list[str]) -> None:
    before = (place / "store" / "maps" / "defaults-task.json").read_text()
    Forged(monkeypatch, "once", "once", "once")
    code, _, err = run("map", *argv)
    assert (code, err) == (0, "")
    assert (place / "store" / "maps" / "defaults-task.json").read_text() == before


def test_what_was_interrupted_is_shown_and_kept_only_on_request(
    run: Run, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Forged(monkeypatch, "once", "lost", stopped=2)
    code, out, err = run("map", "--config", "late")
    assert (code, err) == (130, "")
    assert "doubt: the map was interrupted" in out
    assert out.endswith("? interrupted: exit code 130\n")
    assert run("map", "--config", "late", "--save", "new/part.json")[0] == 130
    assert not FaultMap.load(place / "new" / "part.json").complete
    saved = run("map", "--save", "store/maps/defaults-task.json")[2]
    assert saved == "stored in store/maps/defaults-task.part.json\n"
    assert FaultMap.load(place / "store" / "maps" / "defaults-task.json").whole


def test_again_tries_what_is_not_good_in_the_stored_map(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    forged = Forged(monkeypatch, "lost", "once", "once")
    code, out, _ = run("map", "--again", "--repeat", "3")
    assert sorted(forged.planned) == sorted([LOST, STUCK, REPEATED])
    assert (forged.options.cold, forged.options.repeat) == (0, 3)
    assert code == 1
    assert "Again     brownout map 'worker->broker/ZADD#1/before-cut'" in out
    assert "1 of 3 bad cells are reproduced in 90% of trials or as a race; 1 trial each" in out

    run("show", "defaults-task", "--point", "LPUSH", "--json", "store/maps/late-task.json")
    assert run("map", "--again", "--config", "late") == (
        0,
        "store/maps/late-task.json: no cell of this map is bad\n",
        "",
    )
    assert run("map", "--again", "late-task") == (0, "late-task: no cell of this map is bad\n", "")


def test_a_stored_map_stays_when_all_of_it_is_tried_again(
    run: Run, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = stored(place / "store" / "maps" / "late-task.json", *(seen(cell, "lost") for cell in (GOOD, LOST, STUCK)))
    forged = Forged(monkeypatch, "once", "once", "once")
    assert run("map", "--again", "--config", "late")[2] == ""
    assert len(forged.planned) == 3
    assert FaultMap.load(place / "store" / "maps" / "late-task.json") == before


def test_cells_are_taken_by_either_name_once(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    forged = Forged(monkeypatch, "lost", "once")
    code, out, _ = run("map", "worker->broker/ZADD#1/before-cut", REPEATED, "worker->broker/ZADD#1/before-cut")
    assert (code, forged.planned) == (1, [LOST, REPEATED])
    assert out.startswith("✗ worker->broker/ZADD#1/before-cut  invalid · lost ×1")
    run("map", LOST, "--repeat", "3", REPEATED)
    assert forged.planned == [LOST, REPEATED]
    code, out, err = run("map", "worker->broker/ZADD#1/before-kill")
    assert (code, out) == (64, "")
    assert "no cell is called 'worker->broker/ZADD#1/before-kill'; did you mean 'worker->broker/ZADD#1/before" in err


def test_json_goes_into_a_pipe_and_through_a_link(run: Run, place: Path) -> None:
    """Another file must not take the place of what leads elsewhere."""
    (place / "real.json").write_text("old")
    (place / "link.json").symlink_to(place / "real.json")
    os.mkfifo(place / "pipe")
    reader = os.open(place / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    try:
        for name in ("link.json", "pipe"):
            assert run("show", "defaults-task", "--point", "LPUSH", "--json", str(place / name))[0] == 0
        piped = os.read(reader, 1 << 16)
    finally:
        os.close(reader)
    assert (place / "link.json").is_symlink()
    assert piped == (place / "real.json").read_bytes()
    assert len(FaultMap.from_json(piped).cells) == 1


def test_a_experiment_whose_module_fails_is_one_line(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "needs_a_database.py").write_text("import os\nos.environ['SHOP_DB_THAT_NOBODY_SET']\n")
    code, out, err = run("map", "--experiment", "needs_a_database:shop")
    assert (code, out) == (64, "")
    assert err.endswith(": KeyError: 'SHOP_DB_THAT_NOBODY_SET'\n")
    assert "Traceback" not in err


def test_a_map_is_written_as_a_table_for_a_page(run: Run, place: Path) -> None:
    run("show", "defaults-task", "--markdown", "pages/task.md")
    page = (place / "pages" / "task.md").read_text()
    assert "| LOST |" in page
    assert "DUP" in page


class ForgedPairs:
    """Stands for `run_pairs`: remembers what it was asked for."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, word: str = "once", stopped: int = 0, **more: Any) -> None:
        monkeypatch.setattr("brownout.explore.pairs_campaign.run_pairs", self)
        cell = Cell.parse(LOST)
        row = PairResult(Pair(cell, cell, "spot", "once"), {word: 1})
        self.found, self.stopped = (
            PairMap("late", "task", controls=1, complete=not stopped, rows=(row,), **more),
            stopped,
        )

    def __call__(self, experiment: Experiment, options: Options, *, sample: int, seed: int) -> tuple[PairMap, int]:
        self.experiment, self.options, self.sampled = experiment, options, (sample, seed)
        options.emit(CampaignEnded(experiment.title, self.found))
        return self.found, self.stopped


@pytest.mark.parametrize(
    ("word", "stopped", "code", "last"),
    [("lost", 0, 1, "✗ invalid"), ("once", 0, 0, "✓ valid"), ("once", 2, 130, "? interrupted"),
     ("lost", 15, 143, "? interrupted")],
)  # fmt: skip
def test_pairs_are_run_and_reported(
    run: Run, monkeypatch: pytest.MonkeyPatch, word: str, stopped: int, code: int, last: str
) -> None:
    forged = ForgedPairs(monkeypatch, word, stopped)
    got, out, _ = run("pairs", "--config", "late", "--point", "ZADD", "--actions", "cut,kill", "--sample", "40",
                      "--seed", "3", "--jobs", "5", "--provider", "local")  # fmt: skip
    assert (got, out.splitlines()[-1]) == (code, f"{last}: exit code {code}")
    assert "1 of 0 pairs tried" in out
    assert (forged.experiment.title, forged.sampled) == ("late/task", (40, 3))
    options = forged.options
    assert (options.points, options.actions, options.jobs, options.provider) == (("ZADD",), ["cut", "kill"], 5, "local")


def test_pairs_are_stored_when_they_are_whole(run: Run, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    forged = ForgedPairs(monkeypatch)
    assert run("pairs", "--config", "late")[2] == "stored in store/maps/pairs-late-task.json\n"
    assert PairMap.load(place / "store" / "maps" / "pairs-late-task.json") == forged.found
    assert forged.options.actions == ["standard"]

    for more in ({"part": True}, {"stopped": 15}):
        forged = ForgedPairs(monkeypatch, "lost", **more)
        assert run("pairs", "--config", "late")[2] == ""
        saved = run("pairs", "--config", "late", "--save", "store/maps/pairs-late-task.json")[2]
        assert saved == "stored in store/maps/pairs-late-task.part.json\n"
        assert PairMap.load(place / "store" / "maps" / "pairs-late-task.part.json") == forged.found
        assert PairMap.load(place / "store" / "maps" / "pairs-late-task.json").rows[0].seen == {"once": 1}
    assert run("pairs", "--save", "new/part.json")[2] == "stored in new/part.json\n"


def test_pairs_are_written_as_json_instead_of_the_text(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    forged = ForgedPairs(monkeypatch, "lost", part=True)
    code, out, _ = run("pairs", "--json", "-")
    assert (code, PairMap.from_json(out)) == (1, forged.found)


# --- shards, and what joins them


def test_a_shard_is_stored_beside_the_whole_map(run: Run, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = (place / "store" / "maps" / "defaults-task.json").read_text()
    forged = Forged(monkeypatch, "once", "lost", "once")
    code, out, err = run("map", "--shard", "1/2")
    assert (code, err) == (1, "stored in store/maps/defaults-task.1-of-2.json\n")
    assert forged.options.shard == Shard.parse("1/2")
    assert "3 cells of shard 1/2: " in out
    assert (place / "store" / "maps" / "defaults-task.json").read_text() == before
    saved = run("map", "--shard", "1/2", "--save", "store/maps/defaults-task.json")[2]
    assert saved == "stored in store/maps/defaults-task.part.json\n"

    pairs = ForgedPairs(monkeypatch, shard="2/2")
    assert run("pairs", "--shard", "2/2")[2] == "stored in store/maps/pairs-defaults-task.2-of-2.json\n"
    assert pairs.options.shard == Shard.parse("2/2")


def parts(place: Path, **more: Any) -> tuple[FaultMap, FaultMap]:
    return (stored(place / "a.json", seen(LOST, "lost"), trace=TRACE, shard="1/2"),
            stored(place / "b.json", seen(GOOD, "once"), trace=TRACE, shard="2/2", **more))  # fmt: skip


TRACE = (Cell.parse(GOOD).point, Cell.parse(LOST).point)


def test_shards_are_merged_stored_and_judged_as_a_whole_map(run: Run, place: Path) -> None:
    parts(place)
    whole = stored(place / "whole.json", seen(LOST, "lost"), seen(GOOD, "once"), trace=TRACE)
    (place / "baseline.toml").write_text(ENTRY.format(cell=LOST, outcome="lost", expires="2999-01-01"))
    for more in ([], ["--baseline", "baseline.toml"], ["--only-bad"]):
        code, out, err = run("merge", "b.json", "a.json", "--save", "new/late.json", *more)
        shown = run("show", "whole.json", *more)
        assert (code, out.splitlines()[-1], err) == (shown[0], shown[1].splitlines()[-1], "stored in new/late.json\n")
        assert (code, "LOST" in out) == (0 if "--baseline" in more else 1, True)
    merged = FaultMap.load(place / "new" / "late.json")
    assert (merged.cells, merged.whole, merged.trace) == (whole.cells, True, whole.trace)
    assert run("merge", "b.json", "a.json", "--json", "-", "--markdown", "page.md")[2] == (
        "stored in store/maps/defaults-task.json\n"
    )
    assert "LOST" in (place / "page.md").read_text()


def test_a_merge_without_all_shards_proves_nothing_and_replaces_nothing(run: Run, place: Path) -> None:
    before = (place / "store" / "maps" / "defaults-task.json").read_text()
    stored(place / "a.json", seen(GOOD, "once"), shard="2/3")
    stored(place / "b.json", seen(STUCK, "once"), trace=(Cell.parse(GOOD).point,), shard="1/3")
    code, out, err = run("merge", "a.json", "b.json")
    assert (code, err) == (2, "")
    assert "doubt: shards that are missing: 3\n" in out
    assert out.endswith("? unknown: exit code 2\n")
    assert (place / "store" / "maps" / "defaults-task.json").read_text() == before
    (place / "baseline.toml").write_text(ENTRY.format(cell=LOST, outcome="lost", expires="2999-01-01"))
    code, out, err = run("merge", "a.json", "--save", "store/maps/defaults-task.json", "--baseline", "baseline.toml")
    assert (code, err) == (2, "stored in store/maps/defaults-task.part.json\n")
    assert "stray" not in out, "the cell may be in a shard that is missing"


def test_parts_of_different_maps_are_one_line(run: Run, place: Path) -> None:
    parts(place, versions={"celery": "5.6"})
    code, out, err = run("merge", "a.json", "b.json")
    assert (code, out) == (64, "")
    assert err == "brownout merge: error: not parts of one map: versions {} and {'celery': '5.6'}\n"
    PairMap("late", "task", shard="1/2").save(place / "pairs.json")
    assert "fault map and pair map" in run("merge", "a.json", "pairs.json")[2]


def test_maps_of_pairs_are_merged(run: Run, place: Path) -> None:
    first, second = (Pair(Cell.parse(GOOD), Cell.parse(each), "spot", "once") for each in (LOST, STUCK))
    counts: dict[str, Any] = {"counts": {"left": 2}, "planned": 1, "controls": 1, "complete": True}
    for name, pair, word in (("1-of-2", first, "once"), ("2-of-2", second, "lost")):
        shard = name.replace("-of-", "/")
        PairMap("late", "task", rows=(PairResult(pair, {word: 1}),), shard=shard, **counts).save(place / f"{name}.json")
    code, out, err = run("merge", "1-of-2.json", "2-of-2.json")
    assert (code, err) == (1, "stored in store/maps/pairs-late-task.json\n")
    assert "2 of 2 pairs tried; " in out
    assert len(PairMap.load(place / "store" / "maps" / "pairs-late-task.json").rows) == 2
    code, out, _ = run("merge", "1-of-2.json")
    assert (code, "doubt: shards that are missing: 2" in out) == (2, True)
    for option in (["--baseline", "b.toml"], ["--only-bad"], ["--markdown", "page.md"]):
        assert "are for fault maps; these are maps of pairs" in run("merge", "1-of-2.json", *option)[2]


# --- a stored map of pairs


@pytest.fixture
def pairs(place: Path) -> PairMap:
    rows = [PairResult(Pair(Cell.parse(first), Cell.parse(STUCK), "spot", "once"), {word: 1}, witness=(f"proof {n}",))
            for n, (first, word) in enumerate([(LOST, "lost"), (GOOD, "once"), (REPEATED, "duplicate")])]  # fmt: skip
    map_ = PairMap("late", "task", rows=tuple(rows), controls=1, complete=True)
    map_.save(place / "store" / "maps" / "pairs-late-task.json")
    return map_


def test_a_map_of_pairs_is_shown(run: Run, place: Path, pairs: PairMap) -> None:
    code, out, _ = run("show", "pairs-late-task")
    assert code == 1
    assert "late/task: pairs of faults" in out
    assert "proof 0" in out
    assert out.endswith("✗ invalid: exit code 1\n")
    code, out, _ = run("show", "pairs-late-task", "--json", "-", "--markdown", "page.md")
    assert (code, PairMap.from_json(out)) == (1, pairs)
    page = (place / "page.md").read_text()
    assert page.index("**lost**") < page.index("**duplicate**"), "the worst first"
    assert f"| `{LOST}` | `{STUCK}` | **lost** | once |" in page


@pytest.mark.parametrize(
    ("argv", "firsts", "code"),
    [
        (["--point", "LPUSH"], [GOOD], 0),
        (["--point", "ZADD"], [LOST], 1),
        (["--actions", "misconf"], [REPEATED], 1),
        (["--only-bad"], [LOST, REPEATED], 1),
        ([GOOD], [GOOD], 0),
        (["worker->broker/ZADD#1/before-cut", GOOD], [LOST, GOOD], 1),
    ],
)
def test_pairs_are_chosen_by_their_first_fault(
    run: Run, pairs: PairMap, argv: list[str], firsts: list[str], code: int
) -> None:
    got, out, _ = run("show", "pairs-late-task", *argv, "--json", "-")
    assert (got, [row.pair.first.full for row in PairMap.from_json(out).rows]) == (code, firsts)


def test_what_a_map_of_pairs_has_not_is_one_line(run: Run, place: Path, pairs: PairMap) -> None:
    assert "a baseline accepts cells of a fault map" in run("show", "pairs-late-task", "--baseline", "b.toml")[2]
    assert "no first fault is called 'x'" in run("show", "pairs-late-task", "x")[2]
    for text in ('{"kind": "pair map"}', "[]", "no JSON"):
        (place / "bad.json").write_text(text)
        code, out, err = run("show", "bad.json")
        assert (code, out, err.count("\n")) == (64, "", 1)
        assert "bad.json: not a " in err


# --- GitHub's summary, and quiet


def test_a_step_of_github_has_the_map_in_its_summary(run: Run, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(place / "summary"))
    Forged(monkeypatch, "lost", "once", "once")
    run("map")
    ForgedPairs(monkeypatch, "lost")
    run("pairs")
    parts(place)
    run("merge", "a.json", "b.json", "--json", "-")
    text = (place / "summary").read_text()
    assert re.findall("^### (.*)$", text, re.MULTILINE) == [
        "✗ fault map defaults/task: invalid",
        "✗ pairs of faults late/task: invalid",
        "✗ fault map defaults/task: invalid",
    ]
    assert "  brownout map 'client->broker/LPUSH#1/before-cut'\n" in text
    run("show", "defaults-task")
    assert (place / "summary").read_text() == text, "what is only shown is in no summary"


@pytest.mark.parametrize("command", ["map", "pairs"])
def test_a_quiet_run_shows_no_progress(
    run: Run, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    for quiet, shown in (([], "4 trials at once\n"), (["-q"], "")):
        forged = ForgedPairs(monkeypatch) if command == "pairs" else Forged(monkeypatch, "once", "once", "once")
        run(command, *quiet)
        forged.options.emit(Remark("4 trials at once"))
        assert capsys.readouterr().err == shown


# --- what ends a command


class Signalled:
    """Stands for `explore`, and for what is imported before it: a signal comes."""

    def __init__(self, number: int) -> None:
        self.number = number

    def __call__(self, *_: object, **__: object) -> None:
        signal.raise_signal(self.number)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize(
    ("argv", "replaced"),
    [
        (["map"], "brownout.explore.session.explore"),
        (["pairs"], "brownout.explore.pairs_campaign.run_pairs"),
        (["list", "points"], "brownout.explore.session.explore"),
        (["show", "defaults-task"], "brownout.report.maps.grid.grid"),
        (["diff", "defaults-task", "defaults-task"], "brownout.explore.maps.diff.diff"),
    ],
    ids=lambda given: given[0] if isinstance(given, list) else "",
)
def test_a_signal_ends_every_command(
    run: Run, monkeypatch: pytest.MonkeyPatch, argv: list[str], replaced: str, number: int
) -> None:
    missed: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda number, _: missed.append(number))
    # A shell starts what runs in its background with SIGINT ignored, and Python leaves it so.
    interrupt = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        here = signal.getsignal(signal.SIGTERM)
        monkeypatch.setattr(replaced, Signalled(number))
        assert run(*argv)[0] == 128 + number
        assert signal.getsignal(signal.SIGTERM) is here
    finally:
        signal.signal(signal.SIGTERM, before)
        signal.signal(signal.SIGINT, interrupt)
    assert missed == []


def test_an_ignored_signal_stays_ignored(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def columns() -> int:
        signal.raise_signal(signal.SIGTERM)
        return 80

    Forged(monkeypatch, "once", "once", "once")
    monkeypatch.setattr("brownout.report.maps.grid.columns", columns)
    before = signal.signal(signal.SIGTERM, signal.SIG_IGN)
    try:
        assert run("map")[0] == 0
    finally:
        signal.signal(signal.SIGTERM, before)


@pytest.mark.parametrize("number", [2, 15])
def test_a_list_of_points_that_was_interrupted_is_none(run: Run, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    Forged(monkeypatch, stopped=number)
    assert run("list", "points")[:2] == (128 + number, "")


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (NoMap("nothing works"), 2, "brownout map: no map: nothing works\n"),
        (NoRedis("install one"), 2, "brownout map: no map: install one\n"),
        (NotForkable("no fork"), 2, "brownout map: error: no fork\n"),
        (NotImportable("ModuleNotFoundError: No module named 'celery'"), 2,
         f"brownout map: error: the application needs celery, which is not installed; "
         f"type: {sys.executable} -m pip install celery\n"),
    ],
    ids=lambda given: type(given).__name__ if isinstance(given, Exception) else "",
)  # fmt: skip
def test_what_makes_a_map_impossible_is_one_line(
    run: Run, monkeypatch: pytest.MonkeyPatch, error: Exception, code: int, said: str
) -> None:
    def broken(*_: object) -> None:
        raise error

    monkeypatch.setattr("brownout.explore.session.explore", broken)
    assert run("map") == (code, "", said)


def test_a_pipe_that_was_closed_is_no_error(place: Path) -> None:
    """`brownout show … | head -1`."""
    argv = [sys.executable, "-m", "brownout.cli", "show", "defaults-task"]
    read, write = os.pipe()
    os.close(read)
    env = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    done = subprocess.run(argv, stdout=write, stderr=subprocess.PIPE, env=env, check=False, timeout=60)
    os.close(write)
    assert (done.returncode, done.stderr) == (2, b"")
