"""Handlers that write the pages of trials and of a run while they happen."""

from __future__ import annotations

import json
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from brownout.report.maps.row import Row
from brownout.run.events import CampaignEnded, Event, TrialEnded
from brownout.run.result import Result
from brownout.run.store import of_same_run


class TrialPage:
    """Writes the page of each trial that failed or could not be judged. `again` gives commands that repeat it."""

    def __init__(self, again: Callable[[Result], Sequence[str]]) -> None:
        self._again = again

    def __call__(self, event: Event) -> None:
        """Write the page after the last attempt of a trial."""
        if not (isinstance(event, TrialEnded) and isinstance(event.result, Result)) or event.again:
            return
        result = event.result
        if result.validity != "valid":
            with told(result.folder):
                from brownout.report.page import trial

                trial.write(result, self._again(result), siblings_of(result.scenario, result.folder))


class RunPage:
    """Writes the page of a run into the store; the rows' folders are relative to `root`."""

    def __init__(self, root: Path, store: Path) -> None:
        self._root, self._store = root, store
        self._rows: list[Row] = []

    def __call__(self, event: Event) -> None:
        """Keep the trial of an event; write the page at the end of the campaign."""
        match event:
            case TrialEnded(result=Row() as row):
                self._rows.append(row)
            case CampaignEnded() if self._rows:
                with told(self._store):
                    from brownout.report.page import run

                    run.write(self._rows, self._root, self._store)


@contextmanager
def told(folder: Path) -> Iterator[None]:
    """Within the block an error is printed and goes no further: a report must not hide what it reports."""
    try:
        yield
    except Exception as error:
        traceback.print_exc()
        sys.stderr.write(f"brownout: no page was written in {folder}: {error!r}\n")


def siblings_of(scenario: str, folder: Path) -> list[tuple[str, str, str]]:
    """The other variants of a parametrised test that ended before in the same run; see `run.siblings`."""
    from brownout.report.page.run import siblings

    if "[" not in scenario:
        return []
    return siblings(scenario, _ended(of_same_run(folder)), folder)


def _ended(folders: list[Path]) -> Iterator[tuple[str, str, Path]]:
    for folder in folders:
        with suppress(OSError, ValueError, KeyError):
            summary = json.loads((folder / "results.json").read_text(encoding="utf-8"))
            yield summary["scenario"], summary["validity"], folder
