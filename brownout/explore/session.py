"""A campaign run from a thread that waits for it: on a wire's own loop, and ended early by a signal."""

from __future__ import annotations

import json
import re
import signal
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from brownout.explore.campaign import Campaign
from brownout.explore.experiment import CONFIGURATIONS, STOCK, WORKLOADS, Configuration, Experiment, Workload
from brownout.explore.maps.cell import Cell, names
from brownout.explore.maps.faultmap import FaultMap
from brownout.explore.options import Options
from brownout.plan.near import known
from brownout.plan.point import Point
from brownout.run.events import CampaignEnded, Planned, campaigning
from brownout.run.trial import Stopped
from brownout.subject.application import Application, surface

STOCK_TASK = "brownout.explore.stock.work"
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


def experiment(
    root: Path,
    *,
    config: str = "defaults",
    workload: str = "task",
    settings: Mapping[str, Any] | None = None,
    application: Application | None = None,
    task: str = "",
    args: Sequence[Any] | None = None,
    kwargs: Mapping[str, Any] | None = None,
) -> Experiment:
    """What to draw a map of: the stock application unless one is given, which is imported from the directory `root`.

    Raises UnknownName with near matches, and ValueError for what does not go together or cannot be imported.
    """
    load = WORKLOADS[known("workload", workload, WORKLOADS)]
    configuration = configured(config, settings)
    if application is None:
        if task or args or kwargs:
            raise ValueError("a task, args and kwargs need an application of your own")
        return Experiment(STOCK, root, configuration, load, STOCK_TASK)
    if load.http is None:
        _check(application, root, load, task)
    return Experiment(application, root, configuration, load, task, tuple(args or ()), dict(kwargs or {}))


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


def explore(experiment: Experiment, options: Options, plan: Plan) -> Explored:
    """Discover, try what `plan` chooses of `Campaign.possible()`, and clean up: also when SIGINT or SIGTERM comes.

    Then the map is not complete. Raises NoMap, NoRedis, ValueError for an application that cannot be imported, and
    what `plan` raises. The signals are heeded in the main thread only.
    """
    stopped = 0
    campaign = Campaign(experiment, options)

    def stop(number: int) -> None:
        nonlocal stopped
        if not stopped:  # a second one must not end the clean-up
            stopped = number
            campaign.stop()

    with campaigning(options.emit, experiment.title), heeding(stop):
        try:
            with campaign:
                campaign.discover()
                campaign.planned = tuple(plan(campaign))
                options.emit(Planned(len(campaign.planned) * options.repeat))
                campaign.attempt()
            stopped = 0  # it came too late
        except Stopped:
            pass
        possible = called(campaign.discovery.points, campaign.possible()) if campaign.discovery else {}
        map_ = campaign.map(complete=not stopped)
    options.emit(CampaignEnded(experiment.title, map_))
    return Explored(map_, possible, stopped)


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
