"""The page of a run: all trials of one command, beside the folders of the trials in the store."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from brownout.report.facts.order import natural
from brownout.report.maps.row import WORST, Row
from brownout.report.page.render import render, save
from brownout.report.page.trial import NAME
from brownout.report.summary import counted


@dataclass(frozen=True)
class Entry:
    """A trial of the run. `link` leads to its page, "" where it has none; `variant` are the test's parameters."""

    row: Row
    test: str
    variant: str
    link: str
    folder: str


def write(rows: Sequence[Row], root: Path, store: Path) -> Path:
    """Write the page into the store, and return its path. The rows' folders are relative to `root`. Raises OSError."""
    return save(store / NAME, page(rows, root, store))


def page(rows: Sequence[Row], root: Path, store: Path) -> str:
    """The page of a run: the worst trials first, and each test's variants beside each other."""
    entries = sorted(
        (_entry(row, root, store) for row in rows), key=lambda entry: (entry.row.rank, natural(entry.test))
    )
    tests: dict[str, list[Entry]] = {}
    for entry in entries:
        tests.setdefault(entry.test, []).append(entry)
    bad = [entry for entry in entries if entry.row.validity != WORST[-1]]
    return render(
        "run.html",
        validity=min((row.validity for row in rows), key=WORST.index, default="unknown"),
        headline=headline(rows),
        counted=counted(rows),
        seconds=sum(row.seconds for row in rows),
        bad=bad,
        good=[entry for entry in entries if entry.row.validity == WORST[-1]],
        files=_by_file(tests),
    )


def _by_file(tests: Mapping[str, list[Entry]]) -> list[tuple[str, list[tuple[str, list[Entry]]]]]:
    """The files of the tests, those with the worst trials first, and of each test its name and its trials."""
    files: dict[str, list[tuple[str, list[Entry]]]] = {}
    for test, entries in sorted(tests.items(), key=lambda test: (test[1][0].row.rank, natural(test[0]))):
        file, _, name = test.rpartition("::")
        files.setdefault(file, []).append((name, sorted(entries, key=lambda entry: natural(entry.variant))))
    return list(files.items())


def headline(rows: Sequence[Row]) -> str:
    """What came out, in one sentence."""
    failed, unknown = (sum(row.validity == validity for row in rows) for validity in WORST[:2])
    trials = f"{len(rows)} trial{'s' * (len(rows) != 1)}"
    if not failed and not unknown:
        return f"All promises held in {trials}"
    said = [f"{failed} failed"] * bool(failed) + [f"{unknown} could not be judged"] * bool(unknown)
    return f"Of {trials}, {' and '.join(said)}"


def _entry(row: Row, root: Path, store: Path) -> Entry:
    folder = Path(os.path.relpath(root / row.store, store))
    test, bracket, variant = row.scenario.partition("[")
    page_ = folder / NAME
    # "./": a name with a colon in it would be taken for an address of another kind
    link = f"./{page_.as_posix()}" if (store / page_).is_file() else ""
    return Entry(row, test, variant.removesuffix("]") if bracket else "", link, folder.as_posix())


def siblings(scenario: str, rows: Iterable[tuple[str, str, Path]], folder: Path) -> list[tuple[str, str, str]]:
    """Of a parametrised test the other variants: parameters, validity, and a link from `folder` to the page or "".

    `rows` are trials of the same run: scenario, validity and folder.
    """
    test = scenario.partition("[")[0]
    found = [
        (other.partition("[")[2].removesuffix("]"), validity, _link(place, folder))
        for other, validity, place in rows
        if other != scenario and other.startswith(f"{test}[")
    ]
    return sorted(found, key=lambda sibling: (WORST.index(sibling[1]), natural(sibling[0])))


def _link(place: Path, folder: Path) -> str:
    page_ = place / NAME
    return f"./{Path(os.path.relpath(page_, folder)).as_posix()}" if page_.is_file() else ""
