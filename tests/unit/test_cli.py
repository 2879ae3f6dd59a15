"""The command line without a trial: options, exit codes, stored maps."""

import argparse
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from brownout.cli import main
from brownout.explore.action import chosen
from brownout.explore.campaign import Campaign, Options
from brownout.explore.cell import Cell
from brownout.explore.discovery import Discovery
from brownout.explore.faultmap import CellResult, Controls, FaultMap
from brownout.explore.mission import Mission
from brownout.explore.pairs import Pair
from brownout.explore.pairs_map import PairMap, PairResult
from brownout.explore.session import Explored, Plan, called
from brownout.options import parser
from brownout.run.events import CampaignEnded

LOST = "worker->broker/ZADD unacked_index;HSET unacked#1/before-cut"
STUCK = "worker->broker/ZADD unacked_index;HSET unacked#1/after-cut"
GOOD = "client->broker/LPUSH celery#1/before-cut"
REPEATED = "worker->broker/ZREM unacked_index;HDEL unacked#1/before-misconf"


def seen(cell: str, *words: str) -> CellResult:
    return CellResult(Cell.parse(cell), {word: words.count(word) for word in words}, witness=(f"proof of {words[0]}",))


def stored(path: Path, *cells: CellResult, **more: Any) -> FaultMap:
    trace = tuple(dict.fromkeys(each.cell.point for each in cells))
    given: dict[str, Any] = {"name": "defaults", "workload": "task", "controls": Controls(2), "complete": True}
    map_ = FaultMap(trace=trace, cells=cells, seconds=30.0, **given | more)
    path.parent.mkdir(parents=True, exist_ok=True)
    map_.save(path)
    return map_


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current directory; what is stored there is `defaults-task`."""
    monkeypatch.chdir(tmp_path)
    stored(tmp_path / "store" / "maps" / "defaults-task.json", seen(LOST, "lost"), seen(STUCK, "stuck"),
           seen(GOOD, "once"), seen(REPEATED, "duplicate"))  # fmt: skip
    return tmp_path


Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    def run(*argv: str) -> tuple[int, str, str]:
        try:
            code = main(["map", *argv])
        except SystemExit as ended:
            code = int(ended.code or 0)
        said = capsys.readouterr()
        return code, said.out, said.err

    return run


def options() -> Iterator[argparse.Action]:
    (commands,) = [each for each in parser()._actions if isinstance(each, argparse._SubParsersAction)]
    for command in commands.choices.values():
        yield from command._actions


def test_every_option_says_its_default() -> None:
    found = [each for each in options() if "--help" not in each.option_strings]
    assert len(found) > 15
    assert [each.option_strings for each in found if "(default: " not in (each.help or "")] == []


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["--jobs", "0"], "argument --jobs: a whole number from 1 is wanted, not '0'"),
        (["--repeat", "many"], "argument --repeat: a whole number"),
        (["--args", "{}"], "argument --args: a JSON array is wanted, not '{}'"),
        (["--kwargs", "[1"], "argument --kwargs: a JSON object is wanted"),
        (["--provider", "dokcer"], "invalid choice: 'dokcer'"),
        (["--show", "a", "--diff", "a", "b"], "not allowed with"),
        (["--nothing"], "unrecognized arguments: --nothing"),
        (["--actions", "cut,kil"], "no action is called 'kil'; did you mean 'kill'"),
        (["--config", "defautls"], "no configuration is called 'defautls'; did you mean 'defaults'"),
        (["--workload", "tsak"], "no workload is called 'tsak'; did you mean 'task'"),
        (["--set", "task_ack_late=true"], "no setting of Celery is called 'task_ack_late'; did you mean"),
        (["--set", "task_acks_late"], "a setting is name=value"),
        (["--task", "proj.work"], "belong to an --app of your own"),
        (["--mission", "nowhere:http"], "nowhere:http can't be imported: No module named 'nowhere'"),
        (["--mission", "brownout.explore.mission:STCK"], "no mission of brownout.explore.mission is called 'STCK'"),
        (["--mission", "tests.unit.test_cli:OWN", "--workload", "task"], "a --mission has its own"),
        (["--again", "--point", "ZADD"], "--again takes its cells from the stored map"),
        (["a->b/X#1/before-cut", "--point", "ZADD"], "a CELL goes with --show, or alone"),
        (["--baseline", "nowhere.toml"], "nowhere.toml"),
        (["--save", "store/maps/defaults-task.json/x/map.json"], "Not a directory"),
        (["--again", "--config", "late"], "no map is stored at store/maps/late-task.json; in store/maps: "),
        (["--show", "late-task"], "no map is stored at late-task; in store/maps: defaults-task"),
        (["--show", "defaults-task", "worker->broker/ZAD#1/before-cut"], "did you mean 'worker->broker/ZADD#1/"),
        (["--show", "defaults-task", "--point", "LPSH"], "no point is called 'LPSH'; known: client->broker/LPUSH#1"),
    ],
    ids=lambda given: " ".join(given) if isinstance(given, list) else "",
)  # fmt: skip
def test_a_wrong_command_is_explained_and_is_no_verdict(run: Run, argv: list[str], said: str) -> None:
    code, out, err = run(*argv)
    assert (code, out) == (64, "")
    assert said in err
    assert "Traceback" not in err


def test_a_map_is_shown_with_the_command_for_each_bad_cell(run: Run) -> None:
    code, out, _ = run("--show", "defaults-task")
    assert code == 1
    assert "  lost       brownout map 'worker->broker/ZADD#1/before-cut'\n" in out
    assert "  stuck      brownout map 'worker->broker/ZADD#1/after-cut'\n" in out
    assert "map 'client->broker/LPUSH#1/before-cut'" not in out
    assert "4 cells: 1 good, 3 bad, 0 unknown" in out
    assert out.endswith("✗ invalid: exit code 1\n")
    assert run("--show", "store/maps/defaults-task.json")[1] == out


def test_only_what_is_bad_comes_with_its_proof(run: Run) -> None:
    _, out, _ = run("--show", "defaults-task", "--only-bad")
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
    got, out, _ = run("--show", "defaults-task", *argv, "--json", "-")
    assert (got, len(FaultMap.from_json(out).cells)) == (code, cells)


def test_one_cell_of_a_stored_map_is_judged_alone(run: Run) -> None:
    code, out, _ = run("--show", "defaults-task", "client->broker/LPUSH#1/before-cut")
    assert code == 0
    assert out.startswith("✓ client->broker/LPUSH#1/before-cut  valid · once ×1")
    assert run("--show", "defaults-task", LOST)[0] == 1


def test_the_command_says_of_which_map_it_is(run: Run, place: Path) -> None:
    stored(place / "late.json", seen(LOST, "lost"), name="late+task_time_limit=3", workload="first")
    assert (
        "'worker->broker/ZADD#1/before-cut' --config late+task_time_limit=3 --workload first\n"
        in run("--show", "late.json")[1]
    )
    stored(place / "own.json", seen(LOST, "lost"), name="own", options=("--mission", "there:http"))
    assert "'worker->broker/ZADD#1/before-cut' --mission there:http\n" in run("--show", "own.json")[1]


def test_json_goes_to_a_file_beside_the_grid(run: Run, place: Path) -> None:
    code, out, _ = run("--show", "defaults-task", "--json", "new/map.json")
    assert (code, "4 cells" in out) == (1, True)
    assert FaultMap.load(place / "new" / "map.json") == FaultMap.load(place / "store" / "maps" / "defaults-task.json")


def test_an_interrupted_or_a_void_map_proves_nothing(run: Run, place: Path) -> None:
    stored(place / "part.json", seen(GOOD, "once"), complete=False)
    stored(place / "void.json", seen(LOST, "lost"), controls=Controls(1, ("lost",)))
    stored(place / "good.json", seen(GOOD, "once"))
    assert [run("--show", f"{name}.json")[0] for name in ("part", "void", "good")] == [2, 2, 0]
    assert "a trial without a fault went wrong" in run("--show", "void.json", "worker->broker/ZADD#1/before-cut")[1]


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
        (GOOD, "lost", "2999-01-01", 1, "it is good now: remove this line: baseline.toml:2"),
    ],
    ids=["full", "short", "expired", "changed", "stray", "healed"],
)
def test_a_baseline_is_the_judge(
    run: Run, place: Path, cell: str, outcome: str, expires: str, code: int, said: str
) -> None:
    stored(place / "map.json", seen(LOST, "lost"), seen(GOOD, "once"))
    (place / "baseline.toml").write_text(ENTRY.format(cell=cell, outcome=outcome, expires=expires))
    got, out, _ = run("--show", "map.json", "--baseline", "baseline.toml")
    assert got == code
    assert said in out
    assert out.endswith(f"exit code {code}\n")


def test_a_baseline_with_a_mistake_is_a_wrong_command(run: Run, place: Path) -> None:
    (place / "baseline.toml").write_text(ENTRY.format(cell=LOST, outcome="lots", expires="2999-01-01"))
    code, _, err = run("--show", "defaults-task", "--baseline", "baseline.toml")
    assert code == 64
    assert "baseline.toml:2: no outcome is called 'lots'; did you mean 'lost'" in err


def test_a_difference_is_judged_by_what_is_worse(run: Run, place: Path) -> None:
    stored(place / "a.json", seen(LOST, "lost"), seen(GOOD, "once"))
    stored(place / "b.json", seen(LOST, "recovered"), seen(GOOD, "once"), name="late")
    stored(place / "c.json", seen(LOST, "unknown: why"), seen(GOOD, "once"))
    stored(place / "d.json", seen(LOST, "stuck"), seen(GOOD, "once"), name="late")
    steps = {"ab": 0, "ba": 1, "aa": 0, "ac": 2, "ad": 0, "da": 1}
    assert {step: run("--diff", *(f"{one}.json" for one in step))[0] for step in steps} == steps
    _, out, _ = run("--diff", "b.json", "a.json")
    assert "worse: 1 (was good, is bad)\n  worker->broker/ZADD#1/before-cut  recovered → lost" in out
    assert json.loads(run("--diff", "b.json", "a.json", "--json", "-")[1])["worse"] == [
        {"cell": LOST, "was": ["recovered"], "now": ["lost"]}
    ]


@pytest.mark.parametrize(
    ("what", "line"),
    [
        ("actions", "cut             before, after   the connection ends (FIN)"),
        ("workloads", "chord           two tasks and a body"),
        ("configs", "late            acks_late and nothing else"),
    ],
)
def test_what_can_be_named_is_listed(run: Run, what: str, line: str) -> None:
    code, out, _ = run("--list", what)
    assert code == 0
    assert line in out.splitlines()


@pytest.mark.parametrize("error", [RuntimeError("it broke"), OSError("it broke"), ValueError("it broke")], ids=repr)
def test_a_harness_that_breaks_is_unknown_never_invalid(
    run: Run, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def broken(*_: object) -> None:
        raise error

    monkeypatch.setattr("brownout.cli.explore", broken)
    code, _, err = run()
    assert code == 2
    assert f"{type(error).__name__}: it broke" in err


# --- a run, with trials that are forged


class Forged:
    """Stands for `explore`: remembers what it was asked for."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *words: str, stopped: int = 0) -> None:
        monkeypatch.setattr("brownout.cli.explore", self)
        self.words, self.stopped = words, stopped
        self.planned: list[str] = []

    def __call__(self, mission: Mission, options: Options, plan: Plan) -> Explored:
        cells = tuple(Cell.parse(each) for each in (GOOD, LOST, STUCK, REPEATED))
        points = tuple(dict.fromkeys(each.point for each in cells))

        def possible(actions: tuple[str, ...] = ("all",)) -> tuple[Cell, ...]:
            return tuple(each for each in cells if each.action in [one.name for one in chosen(actions)])

        planned = plan(cast(Campaign, SimpleNamespace(discovery=Discovery(points, {}), possible=possible)))
        self.planned, self.options = [each.full for each in planned], options
        results = tuple(CellResult(cell, {word: 1}) for cell, word in zip(planned, self.words, strict=False))
        found = FaultMap(mission.configuration.name, mission.workload.name, trace=points, cells=results,
                         controls=Controls(1), complete=not self.stopped)  # fmt: skip
        options.emit(CampaignEnded(mission.title, found))
        return Explored(found, called(points, cells), self.stopped)


def test_a_whole_map_is_stored_and_says_where(run: Run, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    forged = Forged(monkeypatch, "once", "once", "recovered")
    code, out, err = run("--config", "late", "--set", "task_time_limit=3", "--workload", "first")
    assert (code, out.splitlines()[-1]) == (0, "✓ valid: exit code 0")
    assert forged.planned == [GOOD, LOST, STUCK], "misconf is not a standard action"
    assert forged.options.cold > 0
    name = "store/maps/late-task_time_limit-3-first.json"
    assert err == f"stored in {name}\n"
    assert FaultMap.load(place / name).title == "late+task_time_limit=3/first"
    assert (place / "store" / ".gitignore").read_text() == "*\n"


def test_a_mission_of_ones_own(run: Run, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = ["from dataclasses import replace", "from pathlib import Path", "from brownout.explore.mission import *"]
    lines += ["http = Mission(STOCK, Path(), OWN, Workload('http', 'a request'), 'work')"]
    (place / "missions_of_test_cli.py").write_text("\n".join(lines))
    monkeypatch.setattr("sys.path", [*sys.path])
    Forged(monkeypatch, "once", "lost", "once")
    of = ["--mission", "missions_of_test_cli:http"]
    code, out, _ = run(*of)
    assert code == 1
    assert "brownout map 'worker->broker/ZADD#1/before-cut' --mission missions_of_test_cli:http\n" in out
    assert FaultMap.load(place / "store" / "maps" / "own-http.json").title == "own/http"
    assert "--mission missions_of_test_cli:http\n" in run("--show", "own-http")[1]

    for base, config in {"own": [], "late": ["--config", "late"]}.items():
        _, out, _ = run(*of, *config, "--set", "task_time_limit=3")
        assert f"/before-cut' --mission missions_of_test_cli:http --config {base}+task_time_limit=3\n" in out
    assert (
        "no mission of missions_of_test_cli is called 'htp'; did you mean 'http'" in run(*of[:1], of[1][:-2] + "p")[2]
    )


@pytest.mark.parametrize(
    "argv", [["--point", "ZADD"], ["--actions", "cut"], [LOST], ["--again"]], ids=lambda argv: argv[0].partition("/")[0]
)
def test_a_part_replaces_no_whole_map(run: Run, place: Path, monkeypatch: pytest.MonkeyPatch, argv: list[str]) -> None:
    before = (place / "store" / "maps" / "defaults-task.json").read_text()
    Forged(monkeypatch, "once", "once", "once")
    code, _, err = run(*argv)
    assert (code, err) == (0, "")
    assert (place / "store" / "maps" / "defaults-task.json").read_text() == before


def test_what_was_interrupted_is_shown_and_kept_only_on_request(
    run: Run, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Forged(monkeypatch, "once", "lost", stopped=2)
    code, out, err = run("--config", "late")
    assert (code, err) == (130, "")
    assert "doubt: it was interrupted" in out
    assert out.endswith("? interrupted: exit code 130\n")
    assert run("--config", "late", "--save", "new/part.json")[0] == 130
    assert not FaultMap.load(place / "new" / "part.json").complete


def test_again_tries_what_is_not_good_in_the_stored_map(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    forged = Forged(monkeypatch, "lost", "once", "once")
    code, out, _ = run("--again", "--repeat", "3")
    assert sorted(forged.planned) == sorted([LOST, STUCK, REPEATED])
    assert (forged.options.cold, forged.options.repeat) == (0, 3)
    assert code == 1
    assert "Again     brownout map 'worker->broker/ZADD#1/before-cut'" in out
    assert "1 of 3 bad cells are bad again, nine times of ten or within their race; 1 trial each" in out

    _, out, _ = run("--show", "defaults-task", "--point", "LPUSH", "--json", "store/maps/late-task.json")
    assert run("--again", "--config", "late") == (0, "store/maps/late-task.json: nothing in it is bad\n", "")


def test_cells_are_taken_by_either_name_once(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    forged = Forged(monkeypatch, "lost", "once")
    code, out, _ = run("worker->broker/ZADD#1/before-cut", REPEATED, "worker->broker/ZADD#1/before-cut")
    assert (code, forged.planned) == (1, [LOST, REPEATED])
    assert out.startswith("✗ worker->broker/ZADD#1/before-cut  invalid · lost ×1")
    code, out, err = run("worker->broker/ZADD#1/before-kill")
    assert (code, out) == (64, "")
    assert "no cell is called 'worker->broker/ZADD#1/before-kill'; did you mean 'worker->broker/ZADD#1/before" in err


def test_a_map_is_written_as_a_table_for_a_page(run: Run, place: Path) -> None:
    run("--show", "defaults-task", "--markdown", "pages/task.md")
    page = (place / "pages" / "task.md").read_text()
    assert "| LOST |" in page
    assert "DUP" in page


@pytest.mark.parametrize(("word", "complete", "code"), [("lost", True, 1), ("once", True, 0), ("once", False, 130)])
def test_pairs_are_run_reported_and_stored(
    run: Run, place: Path, monkeypatch: pytest.MonkeyPatch, word: str, complete: bool, code: int
) -> None:
    asked: list[tuple[Mission, Options, int, int]] = []

    cell = Cell.parse(LOST)
    row = PairResult(Pair(cell, cell, "spot", "once"), {word: 1})
    found = PairMap("late", "task", controls=1, complete=complete, rows=(row,))

    def run_pairs(mission: Mission, options: Options, *, sample: int, seed: int) -> PairMap:
        asked.append((mission, options, sample, seed))
        options.emit(CampaignEnded(mission.title, found))
        return found

    monkeypatch.setattr("brownout.explore.pairs_campaign.run_pairs", run_pairs)
    monkeypatch.setattr("brownout.report.pairs.report", lambda _found: "so many pairs")
    got, out, _ = run("--pairs", "--config", "late", "--point", "ZADD", "--sample", "40", "--seed", "3")
    assert (got, out) == (code, "so many pairs\n")
    assert [(each[0].configuration.name, each[1].points, *each[2:]) for each in asked] == [("late", ["ZADD"], 40, 3)]
    assert PairMap.load(place / "store" / "maps" / "pairs-late-task.json") == found
    assert run("--pairs", LOST)[0] == 64
