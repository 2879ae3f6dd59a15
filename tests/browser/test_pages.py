"""The pages in a real browser: nothing is fetched, nothing is refused, and everything can be reached."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import pytest

pytest.importorskip("playwright", reason="playwright is not installed; tox -e browser has it")

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect

from benchmarks import pages as made_up
from brownout.explore.maps.baseline import load
from brownout.explore.maps.faultmap import FaultMap
from brownout.report.maps.row import Finding, Row
from brownout.report.page import maps, run, trial
from brownout.report.page.render import save
from tests.browser.conftest import Tab, tab_of
from tests.unit.page_specimens import trial as specimen

DOCS = Path(__file__).parents[2] / "docs" / "maps"
KINDS = ("trial", "large", "run", "map", "diff")
OPERATIONS = 20_000
SOON = 100  # ms
LOOKS = ((1280, "light"), (400, "dark"))
RULES = ["wcag2a", "wcag2aa", "wcag21aa", "best-practice"]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Path]:
    """A page of each kind. The folder also keeps the screenshots."""
    folder = tmp_path_factory.mktemp("pages")
    for name in ("small", "large"):
        (folder / name).mkdir()
    failed = trial.write(specimen(folder / "small", "<b>x</b>"), siblings=[("other", "valid", "")])
    large = made_up.store(folder / "large", OPERATIONS)
    rows = [
        Row("t.py::test_a[one]", "invalid", 7, 1.0, "small", (Finding("lost", "Job 3 is lost.", "at_least_once()"),)),
        Row("t.py::test_a[two]", "unknown", 7, 2.0, "b", busy_ms=(65.0,)),
        *(
            Row(f"t.py::test_b[{n}]", "valid", 7, 1.0, "c", recovery_ms=40, faults=("kill() on api",))
            for n in range(40)
        ),
    ]
    a, b = (FaultMap.load(DOCS / f"{name}-task.json") for name in ("defaults", "late"))

    def again(map_: FaultMap, cell: str) -> str:
        return f"brownout map --config {map_.name} '{cell}'"

    return {
        "trial": failed,
        "large": trial.write(large),
        "run": run.write(rows, folder, folder),
        "map": save(folder / "map.html", maps.page(a, again, load(DOCS / "baseline.toml"))),
        "diff": save(folder / "diff.html", maps.beside(a, b, again)),
    }


@pytest.mark.parametrize(("width", "scheme"), LOOKS)
@pytest.mark.parametrize("kind", KINDS)
def test_a_page_fits_and_has_names_and_contrast(
    browser: Browser, files: Mapping[str, Path], kind: str, width: int, scheme: str
) -> None:
    tab = tab_of(browser, width=width, color_scheme=scheme)
    page = tab.open(files[kind])
    page.screenshot(path=files[kind].with_name(f"{kind}-{width}-{scheme}.png"), full_page=True)
    assert page.evaluate("document.documentElement.scrollWidth") <= width  # only tables scroll sideways
    violations = Axe().run(page, options={"runOnly": RULES}).response["violations"]
    assert [(one["id"], one["nodes"][0]["html"][:200], one["nodes"][0]["failureSummary"]) for one in violations] == []
    assert tab.said == []
    assert [url for url in tab.asked if not url.startswith(("file:", "data:,"))] == []
    page.context.close()


@pytest.mark.parametrize("kind", KINDS)
def test_a_page_without_script_says_as_much(browser: Browser, files: Mapping[str, Path], kind: str) -> None:
    with_script, without = (tab_of(browser, java_script_enabled=on).open(files[kind]) for on in (True, False))
    for page in (with_script, without):
        expect(page.locator("h1")).to_be_visible()
    shown = [page.locator("main section:visible").count() for page in (with_script, without)]
    assert shown[0] == shown[1] > 0
    assert without.locator(".tools:visible").count() == 0  # nothing that does nothing
    without.screenshot(path=files[kind].with_name(f"{kind}-no-script.png"))
    for page in (with_script, without):
        page.context.close()


def test_a_job_is_chosen_by_its_link_without_script(browser: Browser, files: Mapping[str, Path]) -> None:
    page = tab_of(browser, java_script_enabled=False).open(files["trial"])
    expect(page.locator("#job1")).to_be_visible()
    page.locator("#jobs-table a").nth(1).click()
    expect(page.locator("#job2")).to_be_visible()
    expect(page.locator("#job1")).to_be_hidden()
    page.context.close()


def reached(page: Page, selector: str, presses: int = 400) -> None:
    """Press Tab until the focus is on an element that the selector matches."""
    for _ in range(presses):
        page.keyboard.press("Tab")
        if page.evaluate("selector => document.activeElement.matches(selector)", selector):
            return
    raise AssertionError(f"{presses} times Tab, and never at {selector}")


def test_the_keyboard_reaches_a_job_and_the_zoom(tab: Tab, files: Mapping[str, Path]) -> None:
    page = tab.open(files["trial"])
    reached(page, "a.skip", 1)
    page.keyboard.press("Enter")
    reached(page, "button[data-zoom=in]", 20)
    page.keyboard.press("Enter")
    assert float(page.locator("svg.zoom").first.get_attribute("viewBox").split()[2]) == 500  # type: ignore[union-attr]
    page.keyboard.press("0")
    assert float(page.locator("svg.zoom").first.get_attribute("viewBox").split()[2]) == 1000  # type: ignore[union-attr]
    reached(page, "#jobs-table a[href='#job2']", 60)
    page.keyboard.press("Enter")
    expect(page.locator("#job2")).to_be_visible()
    expect(page.locator("#job2")).to_be_in_viewport()


def test_the_keyboard_reaches_a_cell(tab: Tab, files: Mapping[str, Path]) -> None:
    page = tab.open(files["map"])
    reached(page, "a.square.severe", 150)
    target = page.evaluate("document.activeElement.hash")
    page.keyboard.press("Enter")
    expect(page.locator(target)).to_be_visible()
    assert page.locator(".detail:visible").count() == 1


def test_a_click_on_a_mark_chooses_its_job(tab: Tab, files: Mapping[str, Path]) -> None:
    page = tab.open(files["trial"])
    page.locator("[data-job=job2]").first.dispatch_event("click")
    expect(page.locator("#job2")).to_be_visible()


def test_a_drag_zooms_to_what_was_dragged_over(tab: Tab, files: Mapping[str, Path]) -> None:
    page = tab.open(files["large"])
    chart = page.locator(".lane svg.chart").nth(2)
    box = chart.bounding_box()
    assert box
    page.mouse.move(box["x"] + box["width"] * 0.25, box["y"] + 5)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.5, box["y"] + 5, steps=4)
    page.mouse.up()
    begin, _, width, _ = map(float, str(page.locator("svg.zoom").first.get_attribute("viewBox")).split())
    assert abs(begin - 250) < 5
    assert abs(width - 250) < 5
    ticks = page.locator("svg.axis").first.locator("text").all_text_contents()
    assert len(ticks) > 2
    assert all(re.fullmatch(r"-?[\d.]+ s", tick) for tick in ticks)


TIMED = """
(what) => new Promise((done) => {
  const begin = performance.now();
  if (what.click) document.querySelector(what.click).click();
  else {
    const input = document.querySelector(what.input);
    input.value = what.value;
    input.dispatchEvent(new Event("input"));
  }
  // The frame after the next is on the screen when all that the change caused has been drawn.
  requestAnimationFrame(() => requestAnimationFrame(() => done(performance.now() - begin)));
})
"""


@pytest.mark.parametrize("what", [
    {"click": "button[data-zoom=in]"}, {"click": "button[data-zoom=fault]"}, {"click": "button[data-zoom=all]"},
    {"input": "input[data-filter]", "value": "op-19"}, {"input": "input[data-filter]", "value": ""},
], ids=str)  # fmt: skip
def test_zoom_and_filter_of_a_large_trial_are_quick(
    tab: Tab, files: Mapping[str, Path], what: Mapping[str, str]
) -> None:
    page = tab.open(files["large"])
    assert f"of {OPERATIONS} jobs" in page.locator("main").inner_text()
    page.evaluate(TIMED, what)  # what is done for the first time also compiles the script
    times = [page.evaluate(TIMED, what) for _ in range(5)]
    assert min(times) < SOON, times  # other programs only make a time longer


def test_a_filter_hides_the_other_jobs_and_says_how_many_are_left(tab: Tab, files: Mapping[str, Path]) -> None:
    page = tab.open(files["large"])
    page.locator("input[data-filter]").fill("op-150")
    left = page.locator("#jobs-table tbody tr:visible")
    assert 0 < left.count() < 20
    expect(page.locator("[data-count=jobs-table]")).to_have_text(f"{left.count()} of 300")
