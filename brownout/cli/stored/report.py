"""`brownout report`: the page of a stored trial, of a run, or of a stored map, made again."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from brownout.cli.parser import Commands, Usage, command, option

if TYPE_CHECKING:
    from brownout.run.result import Result

EXAMPLES = """\
brownout report store
brownout report store/defaults-task-worker--broker-ZADD-unacked_index-1-before-cut/latest
brownout report docs/maps/late-task.json --baseline docs/maps/baseline.toml --html late.html"""
EXIT_CODES = """exit codes:
  0 the page was written, 64 wrong command, 130 after Ctrl-C (SIGINT), 143 after SIGTERM"""
_WHAT = "the store, for the page of its newest run; the folder of a trial in it; or a stored map"
_HTML = "write the page there (default: report.html in the folder, or MAP.html beside the map)"
_BASELINE = "name the mechanisms of a map's cells that it accepts (default: by none)"


@dataclass(frozen=True, kw_only=True)
class ReportOptions:
    """The page."""

    source: str = option("STORE_OR_MAP", _WHAT)
    html: Path | None = option("--html FILE", _HTML, type=Path)
    baseline: str | None = option("--baseline FILE", _BASELINE)


def add(commands: Commands) -> None:
    """Add the command."""
    what = "write the HTML page of a stored trial, of a run or of a stored map; run nothing"
    command(commands, "report", what, EXAMPLES, ReportOptions, run, EXIT_CODES)


def run(options: ReportOptions) -> int:
    """Write the page, or the pages of a run, and print the paths. Returns 0; raises Usage for anything else."""
    from brownout.report.page.render import save

    source = Path(options.source)
    place = source.parent if source.name == "plan.json" else source
    if (place / "results.json").is_file():
        from brownout.report.page import trial
        from brownout.report.page.handlers import siblings_of
        from brownout.report.page.stored import stored

        folder = place.resolve()
        try:
            result = stored(folder)
        except ValueError as error:
            raise Usage(error) from error
        page = trial.page(result, siblings=siblings_of(result.scenario, folder))
        written = [save(options.html or place / trial.NAME, page)]
    elif source.is_dir():
        written = list(_run(source, options.html))
    else:
        from brownout.cli.output import accepted, again, found, load
        from brownout.report.page import maps

        path, map_ = found(source), load(source)
        page = maps.page(map_, again, accepted(options.baseline, map_.title))
        written = [save(options.html or path.with_suffix(".html"), page)]
    sys.stdout.write("".join(f"{path}\n" for path in written))
    return 0


def _run(root: Path, html: Path | None) -> Iterator[Path]:
    """The pages of the newest run's trials that failed or could not be judged, then the page of the run."""
    from brownout.report.maps.row import row
    from brownout.report.page import run as run_page
    from brownout.report.page import trial
    from brownout.report.page.handlers import siblings_of
    from brownout.report.page.render import save
    from brownout.report.page.stored import same_trial, verdicts_of, with_history
    from brownout.run.store import Store, newest_run

    name = newest_run(root)
    if name is None:
        raise Usage(f"{root} is neither a store of trials nor the folder of a trial that has ended")
    last: list[Result] = []  # the last attempt of each trial, without its history: a run may have a hundred trials
    for folder in Store(root, name).trials():
        with suppress(ValueError):  # it was interrupted, and has no verdict
            result = verdicts_of(folder)
            for before in [one for one in last if one.busy and same_trial(one, result)]:
                last.remove(before)
                result = replace(result, earlier=(*before.earlier, before))
            last.append(result)
    rows = []
    for result in last:
        whole = with_history(result)
        rows.append(row(whole, root))
        if result.validity != "valid":
            yield trial.write(whole, siblings=siblings_of(result.scenario, result.folder))
    yield save(html or root / trial.NAME, run_page.page(rows, root, root))
