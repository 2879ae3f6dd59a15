"""What the pages are made of: the line of time, charts, stored trials, and the handlers that write the pages."""

import base64
import hashlib
import re
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from brownout.explore.maps.baseline import load
from brownout.explore.maps.faultmap import FaultMap
from brownout.history.view import History
from brownout.report.maps.row import Row
from brownout.report.page import chart, handlers, maps, trial
from brownout.report.page.chart import BINS, DRAWN, Try
from brownout.report.page.scale import WIDTH, Scale
from brownout.report.page.stored import stored
from brownout.report.results import results
from brownout.run.capsule import write as write_plan
from brownout.run.events import CampaignEnded, TrialEnded
from brownout.run.result import Result
from brownout.run.store import Store, new_run, newest_run
from tests.unit.page_specimens import trial as specimen

S = 1_000_000_000
SCALE = Scale(0, 10 * S, 0)


def attempts(count: int, took: int = S // 10) -> list[Try]:
    begins = [n * 10 * S // count for n in range(count)]
    return [Try(begin, begin + took, "ok" if n % 10 else "fail", f"try {n}") for n, begin in enumerate(begins)]


# --- the line of time


@given(begin=st.integers(0, 100 * S), span=st.integers(S // 1000, 1000 * S), zero=st.floats(0, 1))
def test_an_axis_has_few_round_labels(begin: int, span: int, zero: float) -> None:
    scale = Scale(begin, begin + span, begin + int(span * zero))
    ticks = list(scale.ticks())
    assert 2 <= len(ticks) <= 12
    assert all(0 <= x <= WIDTH for x, _ in ticks)
    assert len({label for _, label in ticks}) == len(ticks)
    assert "0 s" in {label for _, label in ticks}


# --- charts


def test_few_operations_are_drawn_one_by_one_and_many_are_counted() -> None:
    few, many = attempts(DRAWN), attempts(20 * DRAWN)
    assert len(chart.latency(few, SCALE).marks) == DRAWN
    counted = chart.latency(many, SCALE)
    assert (counted.marks, len(counted.bars)) == ((), 2 * BINS)
    assert counted.bars[0].title == "40 tries: median 100 ms, p99 100 ms, longest 100 ms"
    assert len(chart.throughput(many, SCALE).bars) <= 2 * (BINS + 1)
    assert len({bar.y for bar in chart.operations(few, SCALE).bars}) < 20  # in rows


def test_answers_stand_above_the_line_and_failures_below_it() -> None:
    drawn = chart.throughput(attempts(100), SCALE, height=100)
    assert {bar.look for bar in drawn.bars if bar.y < 50} == {"ok bin"}
    assert {bar.look for bar in drawn.bars if bar.y >= 50} == {"fail bin"}


def test_operations_in_one_row_do_not_overlap() -> None:
    bars = chart.operations(attempts(200, took=S), SCALE).bars
    for y in {bar.y for bar in bars}:
        row = sorted((bar.x, bar.x + bar.width) for bar in bars if bar.y == y)
        assert all(end <= begin + 0.2 for (_, end), (begin, _) in pairwise(row))


def test_the_greatest_of_many_values_is_drawn() -> None:
    points = [(n * S // 1000, 7.0 if n == 5001 else 1.0) for n in range(10_000)]
    ((path, _),) = chart.steps(points, SCALE, 24, "depth", 7.0)
    assert "V3.0" in path  # 7 of 7
    assert len(path) < 20_000


# --- a stored trial


def test_a_stored_trial_makes_the_same_page_again(tmp_path: Path) -> None:
    result = specimen(tmp_path, "x")
    write_plan(tmp_path, result.plan, result.scenario, "")
    results(TrialEnded("t", result))
    (tmp_path / "history.ndjson").write_text("".join(f"{event.to_json()}\n" for event in result.history))
    again = stored(tmp_path)
    assert again.verdicts == result.verdicts
    assert trial.page(again) == trial.page(result)
    assert "pytest &#39;tests/t.py::t_a[x]&#39; --chaos-seed=7" in trial.page(again)


@pytest.mark.parametrize("text", ["{", "[]", '{"scenario": 1}'])
def test_what_is_no_stored_trial_is_said_in_one_line(tmp_path: Path, text: str) -> None:
    with pytest.raises(ValueError, match="is no stored trial that has ended"):
        stored(tmp_path)
    (tmp_path / "results.json").write_text(text)
    (tmp_path / "plan.json").write_text(specimen(tmp_path, "x").plan.to_json())
    with pytest.raises(ValueError, match="cannot be read as a stored trial"):
        stored(tmp_path)


# --- the handlers


def placed(store: Store, scenario: str, validity: str = "invalid") -> Result:
    folder = store.place(scenario)
    result = replace(specimen(folder, "x"), scenario=scenario, folder=folder)
    verdicts = result.verdicts if validity == "invalid" else result.verdicts[2:]
    return replace(result, verdicts=verdicts)


def test_a_trial_that_failed_has_a_page_with_its_siblings(tmp_path: Path) -> None:
    store = Store(tmp_path / "store", new_run())
    handler = handlers.TrialPage(lambda result: [f"again {result.plan.seed}"])
    good, first, last, other = (
        placed(store, "t.py::test_a[good]", "valid"), placed(store, "t.py::test_a[first]"),
        placed(store, "t.py::test_a[last]"), placed(store, "t.py::test_b[x]"),
    )  # fmt: skip
    for result in (good, first, other, last):
        results(TrialEnded("t", result))
        handler(TrialEnded("t", result))
    assert not (good.folder / trial.NAME).exists()
    page = (last.folder / trial.NAME).read_text()
    assert "again 7" in page
    assert handlers.siblings_of(last.scenario, last.folder) == [
        ("first", "invalid", f"./../../{first.folder.parent.name}/{first.folder.name}/report.html"),
        ("good", "valid", ""),
    ]
    assert newest_run(store.root) == store.run


def test_an_attempt_that_is_run_again_has_no_page(tmp_path: Path) -> None:
    result = placed(Store(tmp_path, new_run()), "t")
    handlers.TrialPage(lambda _: [])(TrialEnded("t", result, again=True))
    handlers.TrialPage(lambda _: [])(TrialEnded("t", None))
    assert not (result.folder / trial.NAME).exists()


def test_a_page_that_cannot_be_made_hides_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    result = replace(specimen(tmp_path, "x"), folder=tmp_path / "gone")
    handlers.TrialPage(lambda _: [])(TrialEnded("t", result))
    assert f"no page was written in {tmp_path / 'gone'}: FileNotFoundError" in capsys.readouterr().err


def test_a_run_has_a_page_that_leads_to_those_of_its_trials(tmp_path: Path) -> None:
    store = Store(tmp_path / "store", new_run())
    bad = placed(store, "t.py::test_a[one]")
    trial.write(bad)
    handler = handlers.RunPage(tmp_path, store.root)
    where = bad.folder.relative_to(tmp_path).as_posix()
    handler(TrialEnded("t", Row("t.py::test_a[one]", "invalid", 7, 1.0, where)))
    handler(TrialEnded("t", Row("t.py::test_b", "valid", 7, 1.0, "store/b/1")))
    handler(CampaignEnded("pytest"))
    page = (store.root / trial.NAME).read_text()
    (link,) = set(re.findall(r'href="(\./[^"]*)"', page))
    assert (store.root / link).resolve() == (bad.folder / trial.NAME).resolve()
    assert "<h1>Of 2 trials, 1 failed</h1>" in page
    assert page.index("test_a") < page.index("test_b")


def test_a_run_without_trials_has_no_page(tmp_path: Path) -> None:
    handlers.RunPage(tmp_path, tmp_path)(CampaignEnded("pytest"))
    assert not list(tmp_path.iterdir())


# --- a page


def test_the_policy_allows_the_styles_and_the_script_of_the_page_and_nothing_else(tmp_path: Path) -> None:
    page = trial.page(specimen(tmp_path, "x"))
    (policy,) = re.findall(r'<meta http-equiv="Content-Security-Policy" content="([^"]*)">', page)
    rules = dict(rule.split(" ", 1) for rule in policy.replace("&#39;", "'").split("; "))
    for tag, rule in (("style", "style-src"), ("script", "script-src")):
        (text,) = re.findall(f"<{tag}>(.*?)</{tag}>", page, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert rules.pop(rule) == f"'sha256-{digest}'"
    assert rules == {
        "default-src": "'none'", "img-src": "data:", "base-uri": "'none'", "form-action": "'none'",
    }  # fmt: skip
    assert not re.search(r'\s(style|on\w+)="', page)  # the policy would refuse them
    assert not re.search(r'(src|href)="(https?:)?//', page)


def test_a_mechanism_is_the_section_that_the_link_leads_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "why.md").write_text("# Why\n\n## 1. A `QoS` is lost\nFirst.\n\n## 2. Other\nSecond.\n")
    monkeypatch.chdir(tmp_path)
    assert maps.section("why.md#1-a-qos-is-lost") == "First."
    assert [maps.section(link) for link in ("why.md", "gone.md#x", "https://a/b#c", "why.md#none")] == [""] * 4


def test_a_map_has_the_mechanism_of_each_accepted_cell() -> None:
    docs = Path(__file__).parents[2] / "docs" / "maps"
    map_ = FaultMap.load(docs / "defaults-task.json")
    page = maps.page(map_, lambda _, name: f"brownout map {name}", load(docs / "baseline.toml"))
    bad = sum(result.verdict == "invalid" for result in map_.cells)
    assert page.count("<dt>Why</dt>") >= bad > 0
    assert page.count('class="detail') == len(map_.cells)


def test_a_page_of_nothing_is_a_page(tmp_path: Path) -> None:
    empty = replace(specimen(tmp_path, "x"), history=History(), verdicts=())
    assert "<h1>" in trial.page(empty)
