"""`brownout report`, and the pages of `map`, `show` and `diff`: which page is written where."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from brownout.cli import main
from brownout.explore.maps.cell import Cell
from brownout.explore.maps.cell_result import CellResult, Controls
from brownout.explore.maps.faultmap import FaultMap
from brownout.report.results import results
from brownout.run.capsule import write
from brownout.run.events import TrialEnded
from brownout.run.store import Store, new_run
from tests.unit.page_specimens import trial as specimen

LOST = "worker->broker/ZADD unacked_index;HSET unacked#1/before-cut"
BASELINE = f"""\
[[accepted]]
cell = "{LOST}"
map = "defaults/task"
outcome = "lost"
reason = "kombu takes it off the list first"
link = "why.md#1-first"
expires = 2999-01-01
"""
Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Type a command in an empty directory."""
    monkeypatch.chdir(tmp_path)

    def run(*argv: str) -> tuple[int, str, str]:
        code = main(argv)
        return code, *capsys.readouterr()

    return run


def stored_map(path: Path, word: str = "lost", name: str = "defaults") -> Path:
    cells = (CellResult(Cell.parse(LOST), {word: 1}, witness=("+0.1 s  a  proof",)),)
    path.parent.mkdir(parents=True, exist_ok=True)
    FaultMap(name, "task", trace=(cells[0].cell.point,), cells=cells, controls=Controls(1), complete=True).save(path)
    return path


def stored_trial(store: Store, scenario: str, *, good: bool = False) -> Path:
    folder = store.place(scenario)
    result = replace(specimen(folder, "x"), scenario=scenario)
    result = replace(result, verdicts=result.verdicts[2:]) if good else result
    write(folder, result.plan, scenario, "")
    (folder / "history.ndjson").write_text("".join(f"{event.to_json()}\n" for event in result.history))
    results(TrialEnded("t", result))
    return folder


def test_a_trial_has_its_page_again(run: Run, tmp_path: Path) -> None:
    store = Store(tmp_path / "store", new_run())
    folder, sibling = (stored_trial(store, f"t.py::test_a[{name}]", good=name == "two") for name in ("one", "two"))
    for source in (folder, folder / "plan.json", folder.parent / "latest"):
        code, out, _ = run("report", str(source))
        (path,) = map(Path, out.splitlines())
        assert (code, path.resolve()) == (0, folder / "report.html")
    page = path.read_text()
    assert "Job x took effect twice." in page
    assert "two" in page[page.index('id="siblings"') :]
    assert run("report", str(sibling), "--html", "new/good.html")[:2] == (0, "new/good.html\n")
    assert "<h1>The promise held</h1>" in Path("new/good.html").read_text()


def test_a_store_has_the_pages_of_its_newest_run(run: Run, tmp_path: Path) -> None:
    root = tmp_path / "store"
    old = stored_trial(Store(root, "20200101T000000000000-aaaaaa"), "t.py::test_old")
    store = Store(root, new_run())
    bad, good = stored_trial(store, "t.py::test_bad"), stored_trial(store, "t.py::test_good", good=True)
    store.place("t.py::test_interrupted")
    assert run("report", "store")[:2] == (0, f"store/{bad.relative_to(root)}/report.html\nstore/report.html\n")
    page = (root / "report.html").read_text()
    assert "Of 2 trials, 1 failed" in page
    assert "test_old" not in page
    assert not (good / "report.html").exists()
    assert not (old / "report.html").exists()


def test_attempts_on_a_busy_machine_are_one_trial(run: Run, tmp_path: Path) -> None:
    store = Store(tmp_path / "store", new_run())
    for n, busy in enumerate((True, True, False, False)):
        folder = store.place("t.py::test_a")
        result = replace(specimen(folder, "x"), scenario="t.py::test_a")
        doubt = replace(result.verdicts[1], busy_ms=65.0)
        result = replace(result, verdicts=(doubt,) if busy else result.verdicts[:1] if n == 2 else result.verdicts[2:])
        write(folder, result.plan, result.scenario, "")
        results(TrialEnded("t", result))
    assert run("report", "store")[0] == 0
    page = (tmp_path / "store" / "report.html").read_text()
    assert "Of 2 trials, 1 failed" in page  # the third attempt failed; the fourth is a trial of its own
    assert "3 attempts" in page


def test_a_map_has_a_page_beside_it(run: Run, tmp_path: Path) -> None:
    (tmp_path / "why.md").write_text("## 1. First\nThe long story.\n")
    (tmp_path / "base.toml").write_text(BASELINE)
    stored_map(tmp_path / "m.json")
    assert run("report", "m.json", "--baseline", "base.toml")[:2] == (0, "m.html\n")
    page = Path("m.html").read_text()
    assert all(text in page for text in ("kombu takes it off the list first", "The long story.", "brownout map "))
    code, out, _ = run("show", "m.json", "--html", "pages/shown.html")
    assert code == 1
    assert "LOST" in out
    assert "1 of 1 cells are bad" in Path("pages/shown.html").read_text()


def test_a_map_is_found_by_its_name(run: Run, tmp_path: Path) -> None:
    stored_map(tmp_path / "store" / "maps" / "late-task.json", name="late")
    assert run("report", "late-task")[:2] == (0, "store/maps/late-task.html\n")


def test_two_maps_are_side_by_side(run: Run, tmp_path: Path) -> None:
    for name, word in (("a", "once"), ("b", "lost")):
        stored_map(tmp_path / f"{name}.json", word, name)
    assert run("diff", "a.json", "b.json", "--html", "d.html")[0] == 1
    page = Path("d.html").read_text()
    assert page.count("differs") >= 2
    assert "a/task → b/task" in page


@pytest.mark.parametrize(
    ("argv", "said"),
    [(["nothing"], "no map is stored at nothing"), (["."], "is neither a store of trials nor the folder of a trial"),
     (["bad"], "bad cannot be read as a stored trial")],
)  # fmt: skip
def test_what_has_no_page_is_a_wrong_command(run: Run, tmp_path: Path, argv: list[str], said: str) -> None:
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "results.json").write_text("[]")
    (tmp_path / "bad" / "plan.json").write_text("{}")
    code, _, err = run("report", *argv)
    assert code == 64
    assert said in err
