"""The page of one trial."""

from __future__ import annotations

import json
import shlex
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from brownout.check.verdict import Verdict
from brownout.plan.duration import text as duration
from brownout.plan.operation import Call, Http, Load, Submit
from brownout.plan.plan import Plan
from brownout.probes.configuration import plain
from brownout.report.facts.failure import Failure, facts
from brownout.report.facts.order import natural
from brownout.report.facts.stalls import stalls
from brownout.report.maps.row import row
from brownout.report.page import chart, lanes
from brownout.report.page.chart import DRAWN, MEANING, OUTCOMES, Chart
from brownout.report.page.jobs import happened, ids, jobs, tries
from brownout.report.page.render import render, save
from brownout.report.page.scale import Scale
from brownout.report.terminal import causes
from brownout.report.text.clock import length
from brownout.report.text.lanes import life
from brownout.run.result import Result

NAME: Final = "report.html"
_LOG: Final = 20_000  # bytes of the end of each log
_STALLS: Final = 20


@dataclass(frozen=True)
class Log:
    """The end of one process's log, and what became of the process.

    `last` is the last line. `error` is the first error near the cause, `own` the application's frame that raised it.
    """

    name: str
    end: str
    last: str
    life: str = ""
    error: str = ""
    raised: str = ""
    own: str = ""
    at: str = ""


def write(result: Result, again: Sequence[str] = (), siblings: Sequence[tuple[str, str, str]] = ()) -> Path:
    """Write the page into the trial's folder, and return its path. Raises OSError."""
    return save(result.folder / NAME, page(result, again, siblings))


def page(result: Result, again: Sequence[str] = (), siblings: Sequence[tuple[str, str, str]] = ()) -> str:
    """The page of a trial.

    `again` are the commands that run the trial again. `siblings` are the other variants of a parametrised test: name,
    validity, and a link to the variant's page or "".
    """
    failure, history = facts(result), result.history
    tracks = failure.lanes
    margin = max((tracks.end - tracks.begin) // 100, 1)
    scale = Scale(tracks.begin - margin, tracks.end + margin, tracks.begin)
    example = failure.lead.root.example.key if failure.lead else None
    names = ids(history, example, result.verdicts)
    sent = tries(history, names, scale)
    by_task = {task: names[key] for task, key in history.key_of.items() if key in names} | names
    listed = jobs(history, tracks, result.verdicts, names, scale, failure.cause if example in names else None)
    few = len(sent) <= DRAWN
    charts: dict[str, tuple[str, Chart]] = {}
    if sent:
        charts = {
            "throughput": ("answers: above the line those that were ok, below it all others",
                           chart.throughput(sent, scale)),
            "latency": ("time until the answer" if few else "time until the answer: median and longest of each bin",
                        chart.latency(sent, scale)),
        }  # fmt: skip
        if few:
            charts = {
                "operations": ("each operation from its request to its answer", chart.operations(sent, scale)),
                **charts,
            }
    return render(
        "trial.html",
        result=result,
        failure=failure,
        headline=_headline(result, failure),
        causes=list(causes(failure)),
        again=again or commands(result),
        when=_when(result.folder.name),
        siblings=siblings,
        ticks=list(scale.ticks()),
        span_ms=scale.span / 1e6,
        zero_ms=(scale.zero - scale.begin) / 1e6,
        cause_x=scale.x(failure.cause.event.at) if failure.cause and failure.cause.event else None,
        cause_mark=failure.cause.mark if failure.cause else "",
        faults=lanes.faults(tracks, scale),
        phases=lanes.phases(history, scale),
        lanes=lanes.rows(tracks, history, sent, scale, by_task),
        jobs=listed,
        total_jobs=len(history.ops),
        unlisted=[] if example in names else list(happened(failure.steps, history, scale)),
        charts=charts,
        outcomes=[
            (outcome, MEANING[outcome], n)
            for outcome in OUTCOMES
            if (n := Counter(one.outcome for one in sent)[outcome])
        ],
        stalls=[
            (scale.since(stall.begin), length(stall.end - stall.begin), stall, stack)
            for stall, stack in _stalls(result)
        ],
        held=[verdict for verdict in result.verdicts if verdict.validity == "valid"],
        broken=_sorted(result.verdicts),
        plan=list(plan_of(result.plan)),
        settings=_read(result.folder / "conf.json"),
        versions=_read(result.folder / "env.json"),
        logs=list(logs(result.folder, failure, scale)),
    )


def commands(result: Result) -> list[str]:
    """The commands that run a stored trial again."""
    test = ["pytest", result.scenario, f"--chaos-seed={result.plan.seed}"] if "::" in result.scenario else []
    here = Path.cwd()
    folder = result.folder.relative_to(here) if result.folder.is_relative_to(here) else result.folder
    replay = ["brownout", "replay", str(folder)] if result.validity == "invalid" or not test else []
    return [shlex.join(command) for command in (replay, test) if command]


def _headline(result: Result, failure: Failure) -> str:
    if failure.headline:
        return failure.headline
    if result.busy:
        return f"Not judged: {row(result, result.folder).busy}"
    unknown = [verdict for verdict in result.verdicts if verdict.validity == "unknown"]
    if unknown:
        return f"Not judged: {unknown[0].why or 'nothing was judged'}"
    held = len(result.verdicts)
    return "The promise held" if held == 1 else f"All {held} promises held"


def _sorted(verdicts: Sequence[Verdict]) -> list[Verdict]:
    return sorted((one for one in verdicts if one.validity != "valid"), key=lambda one: one.validity)


def _when(folder: str) -> str:
    with suppress(ValueError):
        return datetime.strptime(folder, "%Y%m%dT%H%M%S%f").replace(tzinfo=UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    return ""


def _stalls(result: Result) -> Iterator[tuple[Any, list[str]]]:
    """The longest stalls, each with its stack, the innermost frame last."""
    stacks = {
        event.at: [str(frame) for frame in event.data.get("stack") or ()] for event in result.history.kind("stall")
    }
    for stall in stalls(result.history)[:_STALLS]:
        yield stall, stacks.get(stall.end, [])


def plan_of(plan: Plan) -> Iterator[tuple[str, list[str]]]:
    """The plan in words. Bodies, arguments and headers are named and not shown: they may hold secrets."""
    topology = plan.topology
    workers = topology.workers
    parts = [f"{workers.count} × worker (pool {workers.pool}, concurrency {workers.concurrency}"
             f"{f', queues {chr(44).join(workers.queues)}' if workers.queues else ''})"]  # fmt: skip
    parts += [
        name for name, there in (("API", topology.servers), ("relay", topology.relay), ("beat", topology.beat)) if there
    ]
    yield "processes", parts
    yield "load", [_load(load) for load in plan.load]
    yield (
        "faults",
        [f"{injection}{f', until {injection.heal}' if injection.heal else ''}" for injection in plan.injections]
        or ["none"],
    )
    yield "promises", [str(promise) for promise in plan.promises]
    yield "drain", [f"at most {duration(plan.drain)}"]


def _load(load: Load) -> str:
    operation = load.operation
    inside: list[str] = []
    if isinstance(operation, Http):
        inside = [*(["body"] if operation.json is not None else []), *(f"header {name}" for name in operation.headers)]
    elif isinstance(operation, Submit | Call):
        inside = [*(["arguments"] if operation.args else []), *operation.kwargs]
    end = f"{load.count} times" if load.count else f"for {duration(load.lasting)}" if load.lasting else ""
    begin = f"after {load.when}" if load.when else ""
    shown = str(operation).partition("?")[0]
    return ", ".join(
        filter(
            None, (shown, f"with {' and '.join(inside)}" if inside else "", f"every {duration(load.every)}", end, begin)
        )
    )


def _read(path: Path) -> list[tuple[str, str]]:
    """A file of JSON objects, flat; secrets are left out once more."""
    with suppress(OSError, ValueError):
        content = json.loads(path.read_text(encoding="utf-8"))
        if isinstance(content, dict):
            return list(_flat(plain("", content)))
    return []


def _flat(value: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, str]]:
    for name, item in value.items():
        if isinstance(item, Mapping):
            yield from _flat(item, f"{before}{name}.")
        else:
            yield f"{before}{name}", item if isinstance(item, str) else json.dumps(item)


def logs(folder: Path, failure: Failure, scale: Scale) -> Iterator[Log]:
    """The end of each log, with the error of the process that is nearest to the cause."""
    errors = {line.process: line for line in failure.logs}
    for path in sorted((folder / "log").glob("*.log"), key=lambda path: natural(path.stem)):
        with path.open("rb") as file:
            file.seek(0, 2)
            file.seek(max(0, file.tell() - _LOG))
            end = file.read().decode("utf-8", "replace").strip("\n")
        last = next((line for line in reversed(end.splitlines()) if line.strip()), "")
        lane = failure.lanes.lane(path.stem)
        log = Log(path.stem, end, last, life(failure.lanes, lane) if lane else "")
        if error := errors.get(path.stem):
            at = scale.since(error.at) if error.at is not None else ""
            log = replace(log, error=error.text, raised=error.raised, own=error.own, at=at)
        if end:
            yield log
