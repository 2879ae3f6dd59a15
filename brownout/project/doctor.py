"""Tries an application part by part, without a fault: whether each part starts, is connected, takes a task, and
ends."""

from __future__ import annotations

import re
import shlex
import signal
import tempfile
import time
from collections.abc import Generator, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from brownout.explore.bounds import Bounds
from brownout.explore.experiment import Experiment
from brownout.explore.plans import operation_of, plan_of, topology_of
from brownout.explore.trials import Trials, builtin_wire
from brownout.history.layout import Layout, Unreadable
from brownout.history.view import History
from brownout.plan.operation import Http
from brownout.project.collecting import SCENARIOS, broken
from brownout.subject.application import NotLaunched, surface
from brownout.subject.processes import custody
from brownout.subject.processes.launcher import Cold
from brownout.subject.servers.ladder import Rung
from brownout.subject.subject import Subject
from brownout.subject.waiting import NeverHappened

GOOD = ("once", "recovered")
ENDS_WITHIN = 15.0  # The seconds after SIGTERM within which a part must end.
_RAISED = re.compile(r"^\s*\w[\w.]*(Error|Exception)\b|\braised unexpected: ")


@dataclass(frozen=True)
class Step:
    """One step of `brownout doctor`: something that was tried with one part of the application. `why` is the reason of
    a failure, empty after a success; `type` is what the user should type after a failure."""

    part: str
    what: str
    why: str = ""
    type: str = ""


def examine(experiment: Experiment, rung: Rung) -> Iterator[Step]:
    """Try everything, and yield each step when its result is known; after a failed step only those steps follow that
    are still possible.

    Raises NotImportable.
    """
    application = experiment.application
    told = surface(application, experiment.root, topology_of(experiment).settings_json)
    yield Step("application", f"is imported: {_count(told.tasks, 'task')}, {_count(told.routes, 'route')}")
    if application.celery:
        try:
            Layout.of(told.layout)
        except Unreadable as reason:
            yield Step("broker", "is wired", str(reason), "brownout breaks Redis: give the application a Redis URL")
            return
    with tempfile.TemporaryDirectory(prefix="brownout-doctor-") as folder, ExitStack() as stack:
        custody.hold_directory(Path(folder))
        stack.callback(custody.release_directory, Path(folder))
        started = yield from _parts(experiment, rung, Path(folder), stack)
    if started:
        yield _task(experiment, rung, told.conf)
    if (experiment.root / SCENARIOS).is_dir():
        why, command = broken(experiment.root)
        yield Step("scenarios", f"in {SCENARIOS} are collected by pytest", why, command)


def _count(names: tuple[str, ...], what: str) -> str:
    return f"{len(names)} {what}{'' if len(names) == 1 else 's'}"


def _parts(experiment: Experiment, rung: Rung, folder: Path, stack: ExitStack) -> Generator[Step, None, bool]:
    """Start all parts and end them again; returns whether all of them started."""
    connected: set[str] = set()

    def on_wire(kind: str, data: dict[str, Any]) -> None:
        if kind == "connected":
            connected.add(str(data["edge"]))

    wire = builtin_wire(0, on_wire, folder)
    stack.callback(wire.close)
    (folder / "files").mkdir()
    (folder / "log").mkdir()
    topology = topology_of(experiment)
    history = folder / "history.ndjson"
    subject = Subject(
        experiment.application, topology, wire, root=experiment.root, files=folder / "files", history=history,
        later=["beat"], launcher=Cold(),
    )  # fmt: skip
    stack.callback(subject.stop)
    begin = time.monotonic()
    try:
        subject.start(rung)
    except NotLaunched as error:
        part = str(error).partition(" ")[0]
        if part in subject.supervisors:
            yield Step(part, "starts", str(error), _command(subject, part))
        else:  # the error has the API's answer, and what the user should type
            yield Step("api", "answers", str(error))
        return False
    except NeverHappened as error:
        yield from _unready(subject, connected, str(error).partition("\n")[0])
        return False
    seconds = time.monotonic() - begin
    parts = {name: subject.supervisors[name] for name in topology.processes if name in subject.supervisors}
    for name in parts:
        more = f"answers {experiment.application.ready or '/'}" if name == "api" else "consumes"
        yield Step(name, f"starts and {more}, all parts in {seconds:.1f} s")
    for name, supervisor in reversed(parts.items()):
        began = time.monotonic()
        code = supervisor.stop(signal.SIGTERM, ENDS_WITHIN)
        spent = time.monotonic() - began
        killed = code == -signal.SIGKILL
        why = f"did not end within {ENDS_WITHIN:g} s of SIGTERM and was killed: {supervisor.current.last_line()}"
        yield Step(name, f"ends {spent:.1f} s after SIGTERM", why if killed else "", _command(subject, name))
    return True


def _unready(subject: Subject, connected: set[str], what: str) -> Iterator[Step]:
    """Return which parts are not ready, with the reason for each part."""
    ready = {event.source for event in History.load(subject.history).kind("ready")}
    for name, supervisor in subject.supervisors.items():
        last = supervisor.current.last_line()
        if name == "api" and not subject.api_ready():
            path = subject.application.ready or "/"
            why = f"GET {path} does not say that it is ready: {last}"
            yield Step(name, "answers", why, "--ready PATH, with a path that the API answers when it can work")
        elif name.startswith("worker") and f"{name}->broker" not in connected:
            why = f"it never connected to the broker that it was given: {last}"
            yield Step(name, "is wired", why, "--env NAME={broker}, with the variable that has the broker's URL")
        elif name.startswith("worker") and name not in ready:
            yield Step(name, "consumes", f"{what}: {last}", _command(subject, name))


def _command(subject: Subject, part: str) -> str:
    """Return the command by which the application's owner starts a part by hand."""
    application = subject.application
    if part == "api":
        return shlex.join(["python", "-m", "uvicorn", str(application.api)])
    if part.startswith("worker"):
        return shlex.join(["python", "-m", "celery", "-A", str(application.celery), "worker"])
    return shlex.join(["python", "-m", *application.relay])


def _task(experiment: Experiment, rung: Rung, conf: Mapping[str, Any]) -> Step:
    """Run one trial without a fault, and return the step that says whether the operation was done."""
    operation = operation_of(experiment)
    with Trials(experiment, rung, 1) as trials:
        bounds = Bounds.of(conf, experiment.application.recovery)
        found = trials.trial(plan_of(experiment, bounds), Cold())
    if found.word in GOOD:
        return Step("task", f"{operation} is done once, in {found.seconds:.1f} s")
    hint = "--json, --form and --header, and --status" if isinstance(operation, Http) else "--args and --kwargs"
    logs = (f"{name.removesuffix('.log')} says: {last}" for name, text in found.logs.items() if (last := _error(text)))
    why = found.reason.removeprefix("unknown: ")
    return Step("task", f"{operation} is done once", "; ".join([why, *logs]), f"look at {hint}")


def _error(text: str) -> str:
    """Return the last line of a log that names an exception."""
    return next((line.strip() for line in reversed(text.splitlines()) if _RAISED.search(line)), "")
