"""Draws a fault map as a table: a row for each point in the order of the task's life, a column for each fault."""

from __future__ import annotations

import os
import shutil
import sys
import textwrap
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Final, TextIO

from brownout.check.words import BAD, FLAGS, GOOD, SEVERITY, UNKNOWN, parts, severity
from brownout.explore.maps.action import ACTIONS
from brownout.explore.maps.cell import names
from brownout.explore.maps.cell_result import CellResult
from brownout.explore.maps.faultmap import EXIT, FaultMap, column
from brownout.plan.point import MOMENTS, Point
from brownout.report.clean import clean
from brownout.report.terminal import SIGNS as VERDICTS

#: The text in a cell for each outcome and flag: capitals mean that the task's effect or its result is wrong.
SIGNS: Final[Mapping[str, str]] = {
    **{"once": ".", "recovered": "r", "refused": "ref", "unanswered": "x", UNKNOWN: "?"},
    **{"unread": "gerr", "misreported": "RES", "hangs": "HANG", "duplicate-later": "ldup", "duplicate": "DUP"},
    **{"stuck": "STK", "lost": "LOST", "api-stalled": "~", "worker-dead": "†", "silent": "*"},
}
ABSENT = "-"
HEADINGS = {"loading": "load", "readonly": "ro", "kill-child": "child", "restart-broker": "broker", "truncated": "half"}
_MEANING = {**GOOD, **BAD, **FLAGS, UNKNOWN: "no verdict: nothing is proved"}
_STYLES = {"valid": "bold green", "invalid": "bold red", "unknown": "bold yellow"}
_STRONG, _FAINT = "bold", "dim"
_GAP = "  "

_Column = tuple[int, int, str]  # the key by which `faultmap.column` sorts columns: moment, rank, action
_Row = tuple[Point, dict[_Column, CellResult]]


@dataclass(frozen=True)
class Span:
    """Text in one style, such as "bold red", in the notation of the library rich."""

    text: str
    style: str = ""


Line = tuple[Span, ...]


def sign(result: CellResult) -> str:
    """The text of a cell, such as `LOST*`; for a cell with several outcomes all of them, such as `./DUP`, the most
    frequent first."""
    signs = dict.fromkeys("".join(SIGNS[part] for part in parts(word)) for word in result.words)
    return "/".join(signs) or SIGNS[UNKNOWN]


def style(result: CellResult) -> str:
    """A cell's style: green for "once", cyan for other good outcomes, yellow for unknown, magenta or red for bad.

    Red is for outcomes in which the task's effect is wrong or later tasks will fail: "duplicate-later" and all worse
    outcomes.
    """
    if result.verdict == "invalid":
        severe = severity(result.worst)[0] >= SEVERITY.index("duplicate-later")
        return f"bold white on {'red' if severe else 'magenta'}"
    return "bold black on yellow" if result.verdict == "unknown" else "green" if result.worst == "once" else "cyan"


def grid(map_: FaultMap, width: int = 80) -> list[Line]:
    """The map, its legend and the counts of its trials, in lines of at most `width` characters.

    Columns that do not fit go into a second table. The text of a cell is never cut.
    """
    versions = ", ".join(f"{name} {version}" for name, version in map_.versions.items())
    lines: list[Line] = [(Span(clean(map_.title), _STRONG),), *_wrapped(versions, width, _FAINT), ()]
    rows, name_of = rows_of(map_), names((*map_.trace, *(result.cell.point for result in map_.cells)))
    labels = {point: clean(name_of[point].removeprefix(f"{point.edge}/")) for point, _ in rows}
    longest = max((len(label) for label in labels.values() if len(label) <= width // 2), default=0)
    widths = widths_of(rows)
    for columns_ in _split(widths, width - longest - 2):
        lines += [*_table(rows, {key: widths[key] for key in columns_}, labels, longest + 2), ()]
    for mark, count, meaning in legend(map_):
        first, *rest = textwrap.wrap(meaning, max(10, width - 13))
        lines.append((Span(f"  {mark:<5}", _STRONG), Span(f"{count or '':>4}  {first}")))
        lines += [(Span(f"{'':13}{line}"),) for line in rest]
    shortened = [f"{HEADINGS[action]} = {action}" for *_, action in widths if action in HEADINGS]
    moments = "before, after = before or after the server executed the command" if rows else ""
    lines += _wrapped("; ".join(dict.fromkeys((moments, *shortened))), width, _FAINT, "  ")
    lines += [(), *(line for text in facts(map_) for line in _wrapped(text, width))]
    lines.append((Span(f"{VERDICTS[map_.validity]} {map_.validity}: exit code {EXIT[map_.validity]}",
                       _STYLES[map_.validity]),))  # fmt: skip
    return lines


def facts(map_: FaultMap) -> Iterator[str]:
    """Counts of cells, trials and controls, then the reasons why the map is void or in doubt."""
    tally, races = map_.tally, sum(result.race for result in map_.cells)
    shown = f"{len(map_.cells)} cell{'' if len(map_.cells) == 1 else 's'}"
    shown += f" of shard {map_.shard}" if map_.shard else ""
    declared = f"; {races} with a declared set" if races else ""
    yield f"{shown}: {tally['valid']} good, {tally['invalid']} bad, {tally['unknown']} unknown{declared}"
    controls = f"{map_.controls.ran} without a fault, {len(map_.controls.bad)} of them bad"
    cold = sum(len(comparison.cold) for comparison in map_.cold)
    yield f"{map_.trials} trials: {controls}; {cold} from cold processes"
    yield f"{map_.seconds:.1f} s, {map_.rate:.0f} trials a minute"
    yield from (f"void: {clean(reason)}" for reason in map_.void)
    yield from (f"doubt: {clean(reason)}" for reason in map_.doubts)


def detail(result: CellResult, name: str = "", again: str = "") -> list[Line]:
    """One cell in full: outcomes, witness, command, fault, and `again`, the command that runs the cell again."""
    counts = [f"{clean(word)} ×{result.seen[word]}" for word in result.words]
    headline = " · ".join((result.verdict, *counts, *([f"{result.seconds:.1f} s"] if result.seconds else ())))
    lines: list[Line] = [(Span(f"{VERDICTS[result.verdict]} {clean(name or result.cell)}  {headline}",
                               _STYLES[result.verdict]),)]  # fmt: skip
    trials = sum(result.seen.values())
    often = {word: f"{n} of {trials} times: " for word, n in result.seen.items() if n < trials}
    lines += [(Span(f"  {often.get(word, '')}{sentence(word)}", _STRONG),) for word in result.words or (UNKNOWN,)]
    lines += [(), *((Span(f"      {clean(line)}"),) for line in result.witness), *([()] if result.witness else ())]
    point, action = result.cell.point, ACTIONS.get(result.cell.action)
    labelled = {
        "Command": clean(point.label),
        "Fault": f"{action.summary if action else result.cell.action}, "
        f"{result.cell.moment} the server executed the command",
        "Bound": clean(result.note),
        "Again": again,
    }
    return lines + [(Span(f"  {label:<9} ", _FAINT), Span(value)) for label, value in labelled.items() if value]


def plain(lines: Iterable[Line]) -> str:
    """The text of the lines without styles."""
    return "\n".join("".join(span.text for span in line).rstrip() for line in lines)


def columns() -> int:
    """The width of the terminal in characters: the variable COLUMNS if it is set; 80 when there is no terminal."""
    return shutil.get_terminal_size().columns


def write(lines: Iterable[Line], stream: TextIO | None = None) -> None:
    """Write lines to `stream`, by default stdout.

    The lines are coloured when rich is installed, `stream` is a terminal and NO_COLOR is not set.
    """
    stream, lines = stream or sys.stdout, list(lines)
    if stream.isatty() and not os.environ.get("NO_COLOR"):
        try:
            from rich.console import Console
            from rich.text import Text
        except ImportError:
            pass
        else:
            console = Console(file=stream, highlight=False)
            for line in lines:
                console.print(Text.assemble(*((span.text, span.style) for span in line)), soft_wrap=True)
            return
    stream.write(plain(lines) + "\n")


def markdown(map_: FaultMap) -> str:
    """The map as a Markdown table with its legend; cells that are bad or unknown are in bold."""
    rows, name_of = rows_of(map_), names((*map_.trace, *(result.cell.point for result in map_.cells)))
    widths = widths_of(rows)
    heads = [f"{MOMENTS[moment]}<br>{action}" for moment, _, action in widths]
    lines = [table_row("point", "command", *heads), "|---" * (2 + len(heads)) + "|"]
    for point, results in rows:
        signs = [sign(results[key]) if key in results else "" for key in widths]
        bold = [key in results and results[key].verdict != "valid" for key in widths]
        marked = [f"**{_escaped(text)}**" if strong else text for text, strong in zip(signs, bold, strict=True)]
        lines.append(table_row(f"`{clean(name_of[point])}`", f"`{clean(point.label)}`", *marked))
    lines += ["", table_row("sign", "cells", "what became of the task"), "|---|---:|---|"]
    lines += [
        table_row(_escaped(mark), str(count or ""), meaning) for mark, count, meaning in legend(map_) if mark != ABSENT
    ]
    return "\n".join([*lines, "", *(f"- {text}" for text in facts(map_)), f"- {map_.validity}", ""])


def table_row(*texts: str) -> str:
    """A row of a Markdown table."""
    return "| " + " | ".join(text.replace("|", "\\|") for text in texts) + " |"


def _escaped(text: str) -> str:
    return "".join(f"\\{c}" if c in "*~" else c for c in text)


def rows_of(map_: FaultMap) -> list[_Row]:
    """One row for each point that has cells, in the order of the task's life; points on the same network edge are next
    to each other."""
    rows: dict[Point, dict[_Column, CellResult]] = {}
    for result in map_.cells:
        rows.setdefault(result.cell.point, {})[column(result.cell)] = result
    edges = list(dict.fromkeys(point.edge for point in (*map_.trace, *rows)))
    return sorted(rows.items(), key=lambda row: edges.index(row[0].edge))


def widths_of(rows: Sequence[_Row]) -> dict[_Column, int]:
    """The width of each column in characters, in the order of the columns.

    If only one column belongs to a moment ("before" or "after"), it is at least as wide as the name of the moment.
    """
    room: dict[_Column, int] = {}
    for _, results in rows:
        for key, result in results.items():
            room[key] = max(room.get(key, len(HEADINGS.get(key[2], key[2]))), len(sign(result)))
    alone = [key for key in room if [moment for moment, *_ in room].count(key[0]) == 1]
    return dict(sorted((room | {key: max(room[key], len(MOMENTS[key[0]])) for key in alone}).items()))


def _split(widths: Mapping[_Column, int], room: int) -> Iterator[list[_Column]]:
    """Distribute the columns over tables of at most `room` characters.

    When all columns fit, there is one table. If they do not fit into one table, the columns "before" and "after" are in
    different tables.
    """
    fits = sum(width + len(_GAP) for width in widths.values()) <= room
    for _, group in groupby(widths, key=lambda key: 0 if fits else key[0]):
        table: list[_Column] = []
        for key in group:
            if table and sum(widths[other] + len(_GAP) for other in (*table, key)) > room:
                yield table
                table = []
            table.append(key)
        yield table


def _table(
    rows: Sequence[_Row], widths: Mapping[_Column, int], labels: Mapping[Point, str], indent: int
) -> Iterator[Line]:
    banner = [Span(" " * indent)]
    for moment, group in groupby(widths, key=lambda key: key[0]):
        length = sum(widths[key] + len(_GAP) for key in group) - len(_GAP)
        banner.append(
            Span(_GAP + f"{MOMENTS[moment]} ".ljust(length, "─")[: max(length, len(MOMENTS[moment]))], _FAINT)
        )
    yield tuple(banner)
    heads = (f"{_GAP}{HEADINGS.get(action, action):<{room}}" for (*_, action), room in widths.items())
    yield (Span(" " * indent), *(Span(head, _STRONG) for head in heads))
    for edge, group_ in groupby(rows, key=lambda row: row[0].edge):
        here = [(point, results) for point, results in group_ if results.keys() & widths.keys()]
        if here:
            yield (Span(clean(edge), _STRONG),)
        for point, results in here:
            verdicts = {result.verdict for key, result in results.items() if key in widths}
            worst = "invalid" if "invalid" in verdicts else "unknown" if "unknown" in verdicts else ""
            label: Line = (Span(f"{VERDICTS.get(worst, ' ')} ", _STYLES.get(worst, "")), Span(labels[point]))
            if len(labels[point]) > indent - 2:
                yield label
                label = (Span(" " * indent),)
            else:
                label = (*label, Span(" " * (indent - 2 - len(labels[point]))))
            yield (*label, *(span for key in widths for span in _signed(results.get(key), widths[key])))


def _signed(result: CellResult | None, room: int) -> Line:
    text, how = (sign(result), style(result)) if result else (ABSENT, _FAINT)
    return Span(_GAP), Span(text, how), Span(" " * (room - len(text)))


def legend(map_: FaultMap) -> Iterator[tuple[str, int, str]]:
    """The signs that occur in the map, the worst first: the sign, the number of its cells, its meaning."""
    for part, n in reversed(map_.counts().items()):
        yield SIGNS[part], n, _MEANING[part]
        if part == UNKNOWN:
            reasons = Counter(
                clean(word.partition(": ")[2]) for result in map_.cells for word in result.seen if ": " in word
            )
            yield from (("", n, reason) for reason, n in sorted(reasons.items()))
    if races := sum("/" in sign(result) for result in map_.cells):
        yield "a/b", races, "differs between trials; the most frequent first"
    points, keys = {result.cell.point for result in map_.cells}, {column(result.cell) for result in map_.cells}
    if len(map_.cells) < len(points) * len(keys):
        yield ABSENT, 0, "not in this map"


def sentence(word: str) -> str:
    """Return a verdict word such as "lost+silent" as a sentence about the task."""
    outcome, *flags = parts(word)
    if outcome == UNKNOWN:
        return f"Unknown: {clean(word.partition(': ')[2]) or 'nothing is proved'}."
    text = _MEANING[outcome]
    if text.startswith("its "):
        text = f"The task's {text[4:]}"
    elif not text.startswith("what "):
        text = f"The task {text}"
    return "; ".join((f"{text[0].upper()}{text[1:]}", *(FLAGS[flag] for flag in flags))) + "."


def _wrapped(text: str, width: int, how: str = "", indent: str = "") -> list[Line]:
    lines = textwrap.wrap(text, width, initial_indent=indent, subsequent_indent=indent, break_long_words=False)
    return [(Span(line, how),) for line in lines]
