"""A campaign run from a thread that waits for it: on a wire's own loop, with progress, and ended early by a signal."""

from __future__ import annotations

import asyncio
import concurrent.futures
import json
import re
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TextIO

from brownout.explore.campaign import Campaign, Options
from brownout.explore.cell import BAD, FLAGS, SEVERITY, UNKNOWN, Cell, Point, names, parts, validity_of
from brownout.explore.faultmap import CellResult, FaultMap
from brownout.explore.mission import CONFIGURATIONS, STOCK, WORKLOADS, Configuration, Mission, Workload
from brownout.plan.near import known
from brownout.report.grid import columns
from brownout.subject.application import Application, surface
from brownout.wire.wire import Wire

STOCK_TASK = "brownout.explore.stock.work"
LINE_EVERY = 5.0  # s between two lines where the output is no terminal
DRAW_EVERY = 0.2  # s between two looks on a terminal
Plan = Callable[[Campaign], Sequence[Cell]]


def configured(name: str, settings: Mapping[str, Any] | None = None) -> Configuration:
    """A configuration by its name, with settings laid over it; `a.b` lays one below the setting `a`.

    The name says them, too ("defaults+task_acks_late=true"), and so it leads back here. Raises UnknownName, ValueError.
    """
    base, *more = re.split(r"\+(?=[a-z_.]+=)", name)
    chosen = CONFIGURATIONS[known("configuration", base, CONFIGURATIONS)]
    laid = dict(setting(each) for each in more) | dict(settings or {})
    whole: dict[str, Any] = dict(chosen.settings)
    for key, value in laid.items():
        top, _, below = key.partition(".")
        known("setting of Celery", top, _settings() or {top})
        whole[top] = {**(whole.get(top) or {}), below: value} if below else value
    called = "+".join([base, *(f"{key}={_written(value)}" for key, value in laid.items())])
    return replace(chosen, name=called, settings=whole)


def setting(text: str) -> tuple[str, Any]:
    """`name=value`; the value is JSON, or else text. Raises ValueError without a name or a value."""
    key, equals, value = text.partition("=")
    if not (key and equals and value):
        raise ValueError(f"a setting is name=value, such as task_acks_late=true: {text!r}")
    try:
        return key, json.loads({"True": "true", "False": "false", "None": "null"}.get(value, value))
    except ValueError:
        return key, value


def _written(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, separators=(",", ":"))


def _settings() -> Iterable[str]:
    try:
        from celery.app.defaults import SETTING_KEYS
    except ImportError:
        return ()
    return SETTING_KEYS


def mission(
    root: Path,
    *,
    config: str = "defaults",
    workload: str = "task",
    settings: Mapping[str, Any] | None = None,
    application: Application | None = None,
    task: str = "",
    args: Sequence[Any] | None = None,
    kwargs: Mapping[str, Any] | None = None,
) -> Mission:
    """What to draw a map of: the stock application unless one is given, which is imported from the directory `root`.

    Raises UnknownName with near matches, and ValueError for what does not go together or cannot be imported.
    """
    load = WORKLOADS[known("workload", workload, WORKLOADS)]
    configuration = configured(config, settings)
    if application is None:
        if task or args or kwargs:
            raise ValueError("a task, args and kwargs need an application of your own")
        return Mission(STOCK, root, configuration, load, STOCK_TASK)
    if load.http is None:
        _check(application, root, load, task)
    return Mission(application, root, configuration, load, task, tuple(args or ()), dict(kwargs or {}))


def _check(application: Application, root: Path, load: Workload, task: str) -> None:
    if load.task or load.body:
        raise ValueError(f"the workload {load.name!r} is made of the stock application's own tasks")
    tasks = surface(application, root).tasks
    if not task:
        raise ValueError(f"which task of {application.celery}? It has {', '.join(tasks) or 'none'}")
    known(f"task of {application.celery}", task, tasks)


def called(points: Iterable[Point], cells: Iterable[Cell]) -> dict[str, Cell]:
    """Cells by their short names, as a map with these points has them."""
    short = names(points)
    return {f"{short[cell.point]}/{cell.moment}-{cell.action}": cell for cell in cells}


@dataclass(frozen=True)
class Explored:
    """What came out; `possible` are all cells that the map could have, by name, `stopped` the signal that ended it."""

    map: FaultMap
    possible: Mapping[str, Cell]
    stopped: int = 0


class Progress:
    """How far a map is: `43 of 109 · 12 lost · 38 good · 0 unknown`, one line that is redrawn on a terminal.

    Elsewhere a line each five seconds; nothing without a stream. `tell` is for Options.
    """

    def __init__(self, stream: TextIO | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self._stream, self._clock = stream, clock
        self._tty = stream is not None and stream.isatty()
        self._began = self._said = clock()
        self._seen: Counter[str] = Counter()
        self._again = 0
        self._sentences: list[str] = []
        self.total = 0

    @property
    def every(self) -> float:
        """How often (s) `draw` is to be called."""
        return DRAW_EVERY if self._tty else LINE_EVERY

    def tell(self, what: str, result: CellResult | None) -> None:
        """Count a trial of a cell."""
        if what == "cell" and result is not None:
            for word, times in result.seen.items():
                self._seen[_counted(word)] += times
        elif what == "again":
            self._again += 1

    def say(self, sentence: str) -> None:
        """Show a sentence on a line of its own at the next `draw` or `wipe`; from any thread."""
        self._sentences.append(sentence)

    @property
    def text(self) -> str:
        """The line."""
        if not self.total:
            return f"looking for the points of a task's life · {self._clock() - self._began:.0f} s"
        bad = [name for name in reversed(SEVERITY) if self._seen[name] and name != UNKNOWN]
        counts = (f"{self._seen[name]} {name}" for name in (*bad, "good", UNKNOWN))
        again = [f"{self._again} run again: the machine is busy"] if self._again else []
        return " · ".join([f"{self._seen.total()} of {self.total}", *counts, *again])

    def draw(self) -> None:
        """Show the line, when it is time."""
        if self._stream is None:
            return
        self._utter(self._stream)
        if self._tty:
            self._stream.write(f"\r{self.text[: columns() - 1]}\x1b[K")
            self._stream.flush()
        elif self._clock() - self._said >= LINE_EVERY:
            self._said = self._clock()
            self._stream.write(f"{self.text}\n")
            self._stream.flush()

    def wipe(self) -> None:
        """Remove what is transient."""
        if self._stream is not None and self._tty:
            self._stream.write("\r\x1b[K")
            self._stream.flush()
        if self._stream is not None:
            self._utter(self._stream)

    def _utter(self, stream: TextIO) -> None:
        while self._sentences:
            stream.write(f"{chr(13) + chr(27) + '[K' if self._tty else ''}{self._sentences.pop(0)}\n")
            stream.flush()


def _counted(word: str) -> str:
    """A bad word is counted by its outcome, or by its first flag when the outcome alone is good."""
    validity = validity_of(word)
    if validity != "invalid":
        return UNKNOWN if validity == "unknown" else "good"
    return next(part for part in parts(word) if part in BAD or part in FLAGS)


def explore(mission: Mission, options: Options, plan: Plan, progress: Progress | None = None) -> Explored:
    """Discover, try what `plan` chooses of `Campaign.possible()`, and clean up: also when SIGINT or SIGTERM comes.

    Then the map is not complete. Raises NoMap, NoRedis, ValueError for an application that cannot be imported, and
    what `plan` raises. The signals are heeded in the main thread only.
    """
    progress = progress or Progress()
    stopped = 0
    task: asyncio.Task[None] | None = None

    def stop(number: int) -> None:
        nonlocal stopped
        if not stopped:  # a second one must not end the clean-up
            stopped = number
            if task:
                wire.loop.call_soon_threadsafe(task.cancel)

    with heeding(stop), Wire() as wire:
        campaign = Campaign(mission, replace(options, tell=progress.tell, say=progress.say), wire)

        async def work() -> None:
            async with campaign:
                await campaign.discover()
                campaign.planned = tuple(plan(campaign))
                progress.total = len(campaign.planned) * options.repeat
                await campaign.attempt()

        task = wire.run(lambda: wire.loop.create_task(work()))
        if stopped:
            wire.loop.call_soon_threadsafe(task.cancel)
        over = asyncio.run_coroutine_threadsafe(asyncio.wait([task]), wire.loop)
        while not over.done():
            progress.draw()
            concurrent.futures.wait([over], timeout=progress.every)
        progress.wipe()
        if not task.cancelled():
            task.result()
            stopped = 0  # it came too late
        possible = called(campaign.discovery.points, campaign.possible()) if campaign.discovery else {}
        return Explored(campaign.map(complete=not stopped), possible, stopped)


@contextmanager
def heeding(stop: Callable[[int], None]) -> Iterator[None]:
    """Let a signal call `stop`, where it would end this thread wherever it is; one that is ignored remains so."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    before = {number: handler for number, handler in before.items() if handler is not signal.SIG_IGN}
    for number in before:
        signal.signal(number, lambda caught, _: stop(caught))
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
