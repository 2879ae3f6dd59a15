"""GitHub Actions: a summary of the job in Markdown, and annotations of the scenarios' files."""

import html
import os
from collections.abc import Callable, Iterable
from pathlib import Path

from brownout.report.row import NOT_JUDGED, WORST, Row
from brownout.report.summary import counted
from brownout.report.terminal import SIGNS
from brownout.run.events import CampaignEnded, Event, TrialEnded

#: The largest size of a summary in bytes. GitHub drops a summary of more than 1 MiB, and other steps of the job add to
#: it.
BUDGET = 200_000
#: GitHub shows at most ten errors and ten notices of a step.
ANNOTATIONS = 10


class GitHub:
    """When all trials have ended, appends them to the job's summary, and calls `annotate` with each annotation."""

    def __init__(self, root: Path, annotate: Callable[[str], None]) -> None:
        self._root, self._annotate = root, annotate
        self._rows: list[Row] = []

    def __call__(self, event: Event) -> None:
        """Keep the trial of an event; at the campaign's end write the summary and the annotations."""
        match event:
            case TrialEnded(result=Row() as row):
                self._rows.append(row)
            case CampaignEnded():
                append_summary(self._rows)
                for line in annotations(self._rows, self._root):
                    self._annotate(line)


def append_summary(rows: Iterable[Row]) -> None:
    """Append a summary to the file $GITHUB_STEP_SUMMARY, unless the variable is not set or no trial ran."""
    path, rows = os.environ.get("GITHUB_STEP_SUMMARY"), list(rows)
    if path and rows:
        with Path(path).open("a", encoding="utf-8") as file:
            file.write(summary(rows))


def summary(rows: list[Row], budget: int = BUDGET) -> str:
    """The trials as Markdown, the worst first, in at most `budget` bytes; a last line counts the trials left out.

    Trials that were not judged because the machine was busy have a section of their own, a line for each trial.
    """
    text = f"### chaos: {counted(rows)}\n\n"
    ordered = sorted(rows, key=lambda row: (row.rank, -row.seconds))
    section = ""
    for n, row in enumerate(ordered):
        before, section = section, _section(row)
        title = f"\n#### {section}\n\n" if section != before and (n or row.busy) else ""
        entry = title + _entry(row)
        omitted = f"\n… {len(ordered) - n} more trials are left out, for lack of space.\n"
        if len((text + entry + omitted).encode()) > budget:
            return text + omitted
        text += entry
    return text


def _section(row: Row) -> str:
    if row.busy:
        return f"{NOT_JUDGED}, because the machine was busy"
    return "valid" if row.validity == "valid" else "failed"


def _entry(row: Row) -> str:
    if row.busy:
        return f"- {SIGNS[row.validity]} **{_plain(row.name)}** {row.busy} · seed {row.seed} · {_plain(row.store)}\n"
    facts = [f"seed {row.seed}", f"{row.seconds:.1f} s", *map(_plain, row.faults)]
    if row.recovery_ms is not None:
        facts.append(f"recovered in {row.recovery_ms} ms")
    lines = [f"- {SIGNS[row.validity]} **{_plain(row.name)}** {row.validity} · {' · '.join(facts)}"]
    lines += [f"  - {_plain(finding.sentence)} <sub>{_plain(finding.promise)}</sub>" for finding in row.findings]
    if row.validity != WORST[-1]:
        lines.append(f"  - store: {_plain(row.store)}")
    return "\n".join(lines) + "\n"


def _plain(text: str) -> str:
    for sign in "\\`*_[]|~#":
        text = text.replace(sign, f"\\{sign}")
    return html.escape(text, quote=False)


def annotations(rows: Iterable[Row], root: Path) -> list[str]:
    """At most ten errors, one for each kind of anomaly in a scenario, and ten notices of trials not judged."""
    ordered = sorted(rows, key=lambda row: row.rank)
    first = {(row.scenario, finding.kind): (row, finding)
             for row in reversed(ordered) for finding in reversed(row.findings)}  # fmt: skip
    errors = [
        _annotation("error", row, root, f"{finding.kind} in {row.name}", finding.sentence)
        for row, finding in reversed(first.values())
    ]
    notices = [_annotation("notice", row, root, f"{NOT_JUDGED}: {row.name}", row.busy) for row in ordered if row.busy]
    return errors[:ANNOTATIONS] + notices[:ANNOTATIONS]


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
