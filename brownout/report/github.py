"""GitHub Actions: a summary of the job in Markdown, and annotations of the scenarios' files."""

import html
import os
import re
import shlex
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from brownout.check.words import severity
from brownout.explore.maps.cell import Cell
from brownout.explore.maps.faultmap import FaultMap
from brownout.explore.maps.pairs_map import PairMap
from brownout.report.clean import clean
from brownout.report.maps import grid, pairs
from brownout.report.maps.row import NOT_JUDGED, WORST, Row
from brownout.report.summary import counted
from brownout.report.terminal import SIGNS
from brownout.run.events import CampaignEnded, Event, TrialEnded

SUMMARY = "GITHUB_STEP_SUMMARY"  # GitHub's variable: the file of the step's summary
#: Bytes of a step's summary at most. GitHub drops a summary of more than 1 MiB, and other steps of the job add to it.
BUDGET = 200_000
#: GitHub shows at most ten errors and ten notices of a step.
ANNOTATIONS = 10
OMITTED = "\n… {} more entries are left out, for lack of space.\n"
Again = Callable[[FaultMap, str], str]


class GitHub:
    """When all trials have ended, appends them to the step's summary, and calls `annotate` with each annotation."""

    def __init__(self, root: Path, annotate: Callable[[str], None]) -> None:
        self._root, self._annotate = root, annotate
        self._rows: list[Row] = []

    def __call__(self, event: Event) -> None:
        """Keep the trial of an event; at the campaign's end write the summary and the annotations."""
        match event:
            case TrialEnded(result=Row() as row):
                self._rows.append(row)
            case CampaignEnded() if self._rows:
                append(entries(self._rows))
                for line in annotations(self._rows, self._root):
                    self._annotate(line)


class Cells:
    """The cells of fault maps that pytest has run, one test each: at the end, each map's table goes to the summary."""

    def __init__(self) -> None:
        self._maps: dict[str, FaultMap] = {}
        self._tests: dict[str, str] = {}  # the test of each cell that failed, by the names of map and cell

    def __call__(self, map_: FaultMap, test: str, *, failed: bool) -> None:
        """Add a map that has the one cell of a test."""
        known = self._maps.get(map_.title)
        self._maps[map_.title] = known.merged(map_) if known else map_
        if failed:
            self._tests.update({f"{map_.title} {result.cell.full}": test for result in map_.cells})

    def write(self) -> None:
        """Append the maps to the step's summary. Cells that are as their tests expect have no entry of their own."""
        for title, kept in self._maps.items():
            whole = replace(kept, complete=True, part=True)
            red = [result for result in whole.cells if f"{title} {result.cell.full}" in self._tests]
            tests = [self._tests[f"{title} {result.cell.full}"] for result in red]
            word = min((result.verdict for result in red), key=WORST.index, default="valid")
            said = f"{len(whole.cells)} cells of pytest, of which {len(red)} are not as their tests expect"
            append(map_entries(whole, word, [said], dict(zip((r.cell for r in red), tests, strict=True))))


def append_map(map_: FaultMap, word: str, remarks: Iterable[str], again: Again) -> None:
    """Append a fault map to the step's summary; `again` is the command that tries a cell again."""
    names = map_.names
    bad = {result.cell: again(map_, names[result.cell]) for result in map_.cells if result.verdict != "valid"}
    append(map_entries(map_, word, remarks, bad))


def append_pairs(pair_map: PairMap) -> None:
    """Append a map of pairs to the step's summary."""
    append(pairs_entries(pair_map))


def append(found: Iterable[str]) -> None:
    """Append entries to the file $GITHUB_STEP_SUMMARY, which then has at most `BUDGET` bytes."""
    if path := os.environ.get(SUMMARY):
        with Path(path).open("a", encoding="utf-8") as file:
            file.write(fitted(found, BUDGET - file.tell()))


def fitted(found: Iterable[str], budget: int = BUDGET) -> str:
    """The first entries in at most `budget` bytes of UTF-8. When not all of them fit, a last line counts the others."""
    left = list(found)
    ends = [0]
    for entry in left:
        ends.append(ends[-1] + len(entry.encode()))
    for count in range(len(left), -1, -1):
        rest = OMITTED.format(len(left) - count) if count < len(left) else ""
        if ends[count] + len(rest.encode()) <= budget:
            return "".join(left[:count]) + rest
    return ""


# --- trials


def entries(rows: Sequence[Row]) -> Iterator[str]:
    """The trials that did not hold, the worst first, below one line that counts all trials.

    Trials that were not judged because the machine was busy come last, a line for each trial.
    """
    failed = sorted(_failed(rows), key=lambda row: (row.rank, -row.seconds))
    yield f"### {SIGNS[failed[0].validity if failed else 'valid']} chaos: {counted(rows)}\n\n"
    yield from (failure(row) for row in failed if not row.busy)
    busy = [row for row in failed if row.busy]
    yield from [f"#### {NOT_JUDGED}, because the machine was busy\n\n"] if busy else []
    for row in busy:
        yield f"- {_plain(row.name)}: {row.busy} · seed {row.seed} · {_plain(row.store)}\n"


def _failed(rows: Iterable[Row]) -> list[Row]:
    """The trials that did not hold, without those in which a test has looked for the anomaly and found it."""
    return [row for row in rows if row.validity != "valid" and not row.expected]


def failure(row: Row) -> str:
    """One trial whose promises did not all hold: its verdict as a sentence, its facts, one line for each process over
    time, and the commands that run it again."""
    facts = [f"seed {row.seed}", f"{row.seconds:.3g} s", *map(_plain, row.faults)]
    if row.recovery_ms is not None:
        facts.append(f"recovered in {row.recovery_ms} ms")
    lines = [f"#### {SIGNS[row.validity]} {_plain(row.name)}: {_plain(row.sentence)}", "", " · ".join(facts), ""]
    lines += _fenced(row.lanes) if row.lanes else []
    lines += _fenced([f"brownout replay {shlex.quote(row.store)}",
                      shlex.join(["pytest", row.scenario, f"--chaos-seed={row.seed}"])])  # fmt: skip
    return "\n".join([*lines, ""])


def _fenced(lines: Sequence[str]) -> list[str]:
    """A block of code. Its fence is longer than each row of backticks within it, so that nothing ends it early."""
    text = "\n".join(clean(line) for line in lines)
    fence = "`" * max([3, *(len(ticks) + 1 for ticks in re.findall("`+", text))])
    return [f"{fence}text", text, fence, ""]


def _plain(text: str) -> str:
    """Text in which Markdown and HTML find nothing, on one line."""
    text = re.sub(r"[\\`*_\[\]|~#]", r"\\\g<0>", clean(" ".join(text.split())))
    return html.escape(text, quote=False)


# --- maps


def map_entries(map_: FaultMap, word: str, remarks: Iterable[str], again: Mapping[Cell, str]) -> Iterator[str]:
    """A fault map as a table, then each cell of `again` with the command that tries it again, the worst first."""
    yield f"### {SIGNS.get(word, '?')} fault map {_plain(map_.title)}: {word}\n\n"
    yield from (f"- {_plain(remark)}\n" for remark in remarks)
    yield from (f"{line}\n" for line in ["", *grid.markdown(map_).splitlines(), ""])
    bad = sorted((result for result in map_.cells if result.cell in again),
                 key=lambda result: (result.verdict == "unknown", [-n for n in severity(result.worst)]))  # fmt: skip
    for result in bad:
        command = "\n".join(f"  {line}" for line in _fenced([again[result.cell]]))
        yield f"- {SIGNS[result.verdict]} {_plain(grid.sentence(result.worst))}\n\n{command}\n"


def pairs_entries(map_: PairMap) -> Iterator[str]:
    """A map of pairs: its counts, then a table of the pairs that are not good, the worst first."""
    title = f"{map_.name}/{map_.workload}"
    yield f"### {SIGNS[map_.validity]} pairs of faults {_plain(title)}: {map_.validity}\n\n"
    shard = f" of shard {map_.shard}" if map_.shard else ""
    worse = sum(row.worse for row in map_.bad)
    yield f"- {len(map_.tried)} pairs{shard}, {len(map_.bad)} bad, of which {worse} are worse than the first fault\n"
    yield from (f"- {n} × {what}\n" for what, n in map_.outcomes().items())
    yield from (f"- {_plain(reason)}\n" for reason in (*map_.void, *map_.doubts))
    yield from (f"{line}\n" for line in ["", *pairs.markdown(map_).splitlines()])


# --- annotations


def annotations(rows: Iterable[Row], root: Path) -> list[str]:
    """One error for each distinct cause, at the scenario's line, and one notice for each trial that was not judged.

    The variants of a scenario that break with the same kind of anomaly first have one cause. At most ten errors and ten
    notices: GitHub shows no more.
    """
    ordered = sorted(_failed(rows), key=lambda row: row.rank)
    causes: dict[tuple[str, int, str], list[Row]] = {}
    for row in ordered:
        if row.findings:
            causes.setdefault((row.file, row.line, row.findings[0].kind), []).append(row)
    errors = [_cause(found, root) for found in causes.values()]
    notices = [_annotation("notice", row, root, f"{NOT_JUDGED}: {row.name}", row.busy) for row in ordered if row.busy]
    return errors[:ANNOTATIONS] + notices[:ANNOTATIONS]


def _cause(rows: Sequence[Row], root: Path) -> str:
    first, *others = rows
    more = f"\nalso in {', '.join(row.name for row in others[:ANNOTATIONS])}" if others else ""
    more += f" and {len(others) - ANNOTATIONS} more" if len(others) > ANNOTATIONS else ""
    return _annotation("error", first, root, f"{first.findings[0].kind} in {first.name}", first.sentence + more)


def _annotation(level: str, row: Row, root: Path, title: str, text: str) -> str:
    file = _property(_in_repository(root / row.file))
    return f"::{level} file={file},line={row.line},title={_property(f'chaos: {title}')}::{_data(text)}"


def _in_repository(path: Path) -> str:
    workspace = os.environ.get("GITHUB_WORKSPACE")
    return str(path.relative_to(workspace) if workspace and path.is_relative_to(workspace) else path)


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
