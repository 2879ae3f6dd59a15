"""Each output of a run is a handler of its events."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from brownout.explore.maps.faultmap import FaultMap
from brownout.explore.maps.pairs_map import PairMap
from brownout.report.github import GitHub
from brownout.report.maps.row import Row, Rows
from brownout.report.results import results
from brownout.report.stored import STORE, Stored, write
from brownout.report.summary import Summary
from brownout.run.events import CampaignEnded, Event, Handler, Phase, TrialEnded
from brownout.run.result import Result
from tests.unit.report_specimens import BROKEN, ROOT, busy, result

ROW = Row("t.py::test_a", "valid", 7, 1.0, "store/a/1")
NOT_JUDGED = replace(ROW, validity="unknown", attempts=3, busy_ms=(65.0,))
MAP = FaultMap("late", "task")


def told(handler: Handler, *outcomes: Result | Row) -> None:
    for outcome in outcomes:
        handler(TrialEnded("t", outcome, outcome.attempts))
    handler(CampaignEnded("c"))


# --- of a test


def test_every_attempt_has_its_results_in_its_folder(tmp_path: Path) -> None:
    first, last = (replace(result(BROKEN), folder=tmp_path / name) for name in ("first", "last"))
    for event in (first, last):
        event.folder.mkdir()
    results(TrialEnded("t", first, 1, again=True))
    told(results, last)
    for event in (first, last):
        written = json.loads((event.folder / "results.json").read_text())
        assert (written["scenario"], written["seed"], written["validity"]) == (event.scenario, 7741, "invalid")
        (anomaly,) = written["verdicts"][0]["anomalies"]
        assert (anomaly["kind"], len(anomaly["witness"])) == ("duplicate", 4)


def test_a_test_has_rows_and_properties_of_its_last_attempts() -> None:
    properties: list[tuple[str, object]] = []
    handler = Rows(properties, ROOT, "t.py", 3)
    handler(TrialEnded("t", busy(65.0), 1, again=True))
    handler(TrialEnded("t", None))
    told(handler, result(BROKEN), result())
    rows = handler.kept
    assert [(row.validity, row.file, row.line) for row in rows] == [("invalid", "t.py", 3), ("unknown", "t.py", 3)]
    assert properties == [*rows[0].properties, *rows[1].properties]


# --- of a run


class Terminal:
    """What pytest's terminal is told; a separator is its title."""

    def __init__(self, verbosity: int = 0) -> None:
        self.verbosity = verbosity
        self.lines: list[str] = []

    def write_line(self, line: str, **_: object) -> None:
        self.lines.append(line)

    def write_sep(self, _: str, title: str, **markup: bool) -> None:
        self.lines.append(f"= {title} {'/'.join(markup)}")


@pytest.mark.parametrize(
    ("verbosity", "lines"),
    [
        (-1, ["not judged: test_a: the machine was busy for 65 ms, 3 attempts", "chaos: 2 trials, 0 invalid, 1"]),
        (0, ["= not judged because the machine was busy yellow", "not judged: test_a", "= chaos: 2 trials"]),
        (1, ["= not judged", "not judged: test_a", "= chaos: 2 trials", "    1.0 s  valid", "    1.0 s  unknown"]),
    ],
    ids=["quiet", "normal", "verbose"],
)
def test_pytest_says_in_the_end_what_came_out(verbosity: int, lines: list[str]) -> None:
    terminal: Any = Terminal(verbosity)
    told(Summary(terminal), ROW, NOT_JUDGED)
    assert len(terminal.lines) == len(lines)
    for line, start in zip(terminal.lines, lines, strict=True):
        assert line.startswith(start)
    if verbosity == 0:
        assert terminal.lines[-1].endswith(" red"), "not all are valid"


@pytest.mark.parametrize("verbosity", [-1, 0])
def test_pytest_names_the_siblings_of_a_parameter_that_fails(verbosity: int) -> None:
    terminal: Any = Terminal(verbosity)
    trials = [replace(ROW, scenario=f"t.py::test_a[{n}]", validity="invalid" if n else "valid") for n in range(2)]
    told(Summary(terminal), *trials)
    line = "test_a: 1 of 2 fails [1]; passes [0]"
    assert (line in terminal.lines) == (verbosity == 0), "not with -q"


def test_without_trials_pytest_says_nothing() -> None:
    terminal: Any = Terminal()
    told(Summary(terminal))
    assert terminal.lines == []


def test_github_is_told_when_all_trials_have_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file, lines = tmp_path / "summary", list[str]()
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(file))
    handler = GitHub(tmp_path, lines.append)
    handler(TrialEnded("t", ROW))
    handler(TrialEnded("t", NOT_JUDGED, 3))
    handler(Phase("drain", "t"))
    assert (lines, file.exists()) == ([], False)
    handler(CampaignEnded("c"))
    assert [line.partition(" ")[0] for line in lines] == ["::notice"]
    assert file.read_text().startswith("### ? chaos: 2 trials, 0 invalid, 1 unknown")


# --- of a map


def test_a_map_is_stored_with_its_folder_and_says_where(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    place = tmp_path / "new" / "map.json"
    Stored(place, parts=True)(CampaignEnded("c", MAP))
    assert FaultMap.load(place) == MAP
    assert capsys.readouterr().err == f"stored in {place}\n"
    assert not (tmp_path / ".gitignore").exists(), "the folder is somebody's own"


def test_the_store_of_maps_is_nobodys_to_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Stored(STORE / "map.json", parts=True)(CampaignEnded("c", MAP))
    assert (tmp_path / "store" / ".gitignore").read_text() == "*\n"


@pytest.mark.parametrize(
    ("there", "result", "place"),
    [
        ({}, {"part": True}, "map.part.json"),
        ({}, {"complete": False}, "map.part.json"),
        ({}, {}, "map.json"),
        ({"part": True}, {"part": True, "seconds": 2.0}, "map.json"),
        ({}, {"shard": "1/2"}, "map.part.json"),
        ({"shard": "1/2"}, {"shard": "1/2", "seconds": 2.0}, "map.json"),
        ({"complete": False}, {"part": True}, "map.json"),
    ],
    ids=["a part", "interrupted", "whole", "part by part", "a shard", "shard by shard", "interrupted by part"],
)
def test_only_a_whole_map_replaces_a_whole_one(
    tmp_path: Path, there: dict[str, Any], result: dict[str, Any], place: str
) -> None:
    whole = replace(MAP, complete=True)
    write(replace(whole, **there), tmp_path / "map.json")
    (tmp_path / "map.part.json").write_text("an older part")
    assert write(replace(whole, **result), tmp_path / "map.json") == tmp_path / place
    assert FaultMap.load(tmp_path / place) == replace(whole, **result)
    if place != "map.json":
        assert FaultMap.load(tmp_path / "map.json") == whole


def test_what_is_no_result_is_replaced_also_by_a_part(tmp_path: Path) -> None:
    for text in ("[]", '{"complete": "yes"}', "no JSON"):
        (tmp_path / "map.json").write_text(text)
        assert write(replace(MAP, part=True), tmp_path / "map.json") == tmp_path / "map.json"
    whole = PairMap("late", "task", complete=True)
    write(whole, tmp_path / "map.json")
    assert write(replace(MAP, part=True), tmp_path / "map.json") == tmp_path / "map.part.json"


@pytest.mark.parametrize("odd", [{"part": True}, {"complete": False}], ids=str)
def test_a_part_is_stored_only_where_that_is_asked_for(tmp_path: Path, odd: dict[str, Any]) -> None:
    values: dict[str, Any] = {"complete": True, **odd}
    for found in (replace(MAP, **values), PairMap("late", "task", **values)):
        for parts in (False, True):
            Stored(tmp_path / "map.json", parts=parts)(CampaignEnded("c", found))
            assert (tmp_path / "map.json").exists() == parts
        (tmp_path / "map.json").unlink()
    Stored(tmp_path / "map.json", parts=False)(CampaignEnded("c", replace(MAP, complete=True)))
    assert FaultMap.load(tmp_path / "map.json").whole


@pytest.mark.parametrize("event", [CampaignEnded("c"), TrialEnded("t", MAP)], ids=["it broke", "no campaign"])
def test_nothing_else_is_stored(tmp_path: Path, event: Event) -> None:
    Stored(tmp_path / "map.json", parts=True)(event)
    assert list(tmp_path.iterdir()) == []
