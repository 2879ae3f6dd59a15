"""Whatever texts the subject has, a page has the same elements, and shows no secret."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from selectolax.lexbor import LexborHTMLParser

from brownout.explore.maps.cell import Cell
from brownout.explore.maps.cell_result import CellResult, Controls
from brownout.explore.maps.faultmap import FaultMap
from brownout.report.maps.row import Finding, Row
from brownout.report.page import maps, run, trial
from brownout.report.page.render import render, shown
from tests.unit.page_specimens import trial as trial_with

NASTY = (
    "<script>alert(1)</script>",
    "</title></style></script><img src=x onerror=alert(1)>",
    "\"'><svg onload=alert(1)>",
    "<!--",
    "]]>",
    "javascript:alert(1)",
    "{{ 7 * 7 }}{% raw %}",
    "&lt;b&gt;&#60;i&#62;",
    "\x1b[31mred\x1b]8;;http://a\x07",
    "a\x00b",
    "a\u2028b\u2029c",
    "\ud800 \udfff",
    "\u202eleft",
    "${x}`",
)
TEXTS = st.one_of(
    st.sampled_from(NASTY),
    st.lists(st.one_of(st.sampled_from(NASTY), st.text(max_size=5)), max_size=4).map("".join),
    st.text(st.characters(categories=("L", "P", "S", "Cc", "Cs", "Zl", "Zp", "Zs", "Cf")), max_size=40),
).map(lambda text: f"x{text}y")
DANGEROUS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\ud800-\udfff]")


def elements(page: str) -> list[tuple[int, str, tuple[str, ...]]]:
    """Each element of a page with its depth and the names of its attributes, as a browser's parser sees it."""
    return list(_elements(LexborHTMLParser(page).root, 0))


def _elements(node: Any, depth: int) -> Iterator[tuple[int, str, tuple[str, ...]]]:
    while node is not None:
        if not node.tag.startswith("-"):
            yield depth, node.tag, tuple(sorted(node.attributes))
        yield from _elements(node.child, depth + 1)
        node = node.next


def links(page: str) -> list[str]:
    return [
        str(node.attributes[name])
        for name in ("href", "src", "action")
        for node in LexborHTMLParser(page).css(f"[{name}]")
    ]


def map_with(text: str) -> FaultMap:
    cells = (
        CellResult(
            Cell.parse("worker->broker/ZADD k#1/before-cut"),
            {f"unknown: {text}": 1},
            witness=(f"+0.1 s  a  {text}", text),
            note=text,
            trouble=f"Traceback {text}",
            logs={f"l{text}.log": "one"},
        ),
        CellResult(Cell.parse("worker->broker/ZADD k#1/after-cut"), {"lost": 2}, witness=(f"+0.2 s  b  {text}",)),
    )
    controls = Controls(1, (text,))
    return FaultMap(text, "task", (text,), {"s": text}, {"v": text}, {"b": 1.0}, (), cells, controls, complete=True)


def pages(folder: Path, text: str) -> list[str]:
    row = Row(f"t.py::test[{text}]", "invalid", 7, 1.0, "store/a/1", (Finding("lost", text, text),), (text,))
    map_ = map_with(text)
    return [
        trial.page(trial_with(folder, text), again=[f"pytest {text}"], siblings=[(text, "valid", "./a/report.html")]),
        run.page([row], folder, folder),
        maps.page(map_, lambda _, name: f"{name} {text}"),
        maps.beside(map_, map_with(f"{text}2"), lambda _, name: f"{name} {text}"),
    ]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("trial")


@pytest.fixture(scope="module")
def plain(folder: Path) -> list[list[tuple[int, str, tuple[str, ...]]]]:
    """The elements of the same pages with a harmless text."""
    return [elements(page) for page in pages(folder, "harmless")]


@given(text=TEXTS)
def test_no_text_makes_an_element_or_a_link(folder: Path, plain: list[Any], text: str) -> None:
    for page, expected in zip(pages(folder, text), plain, strict=True):
        page.encode("utf-8")  # no lone surrogate is left
        assert elements(page) == expected
        assert not DANGEROUS.search(page)
        assert all(link.startswith(("#", "./", "data:,")) for link in links(page)), links(page)


def test_every_text_of_the_specimen_is_on_the_page(folder: Path) -> None:
    """Else the test above would prove nothing."""
    body = LexborHTMLParser(trial.page(trial_with(folder, "NEEDLE"))).body
    page = body.text() if body else ""
    for part in (
        "/aNEEDLE",
        "SNEEDLE",
        "ValueError: NEEDLE",
        "a.py:1 NEEDLE",
        "boom NEEDLE",
        "E.Error: NEEDLE",
        "qNEEDLE",
        "cut('NEEDLE')",
        "5NEEDLE",
        "drained('NEEDLE')",
        "tNEEDLE",
        "t_a[NEEDLE]",
        "1 NEEDLE",
    ):
        assert part in page, part


def test_a_value_without_text_is_not_touched() -> None:
    assert [shown(value) for value in (None, 3, 2.5, "a\x1bb\n")] == [None, 3, 2.5, "a\\x1bb\n"]


def test_a_mistake_in_a_template_is_an_error(folder: Path) -> None:
    with pytest.raises(Exception, match="'table' is undefined"):
        render("map.html", sentence="x")


# --- secrets

SECRET = "hunter2"
LOG = f"""\
connecting to redis://user:{SECRET}@10.0.0.1/0
GET /a?api_key={SECRET}&x=1
Authorization: Bearer {SECRET}
Cookie: {SECRET}
{{"password": "{SECRET}", "client_secret_key": "{SECRET}"}}
DB_PASSWORD={SECRET}
[2026-11-20 06:31:00,000: ERROR/Main] AuthError: token={SECRET}
"""


def test_planted_secrets_are_on_no_page(folder: Path) -> None:
    """In queries, headers, bodies, arguments, results, settings, logs, and in the words of a command."""
    result = trial_with(folder, "fine", secret=SECRET, log=LOG.encode())
    assert SECRET in str([event.data for event in result.history])
    page = trial.page(result, again=[f"pytest --url=redis://:{SECRET}@10.0.0.1/0"])
    assert SECRET not in page
    assert "connecting to redis://***@10.0.0.1/0" in page
