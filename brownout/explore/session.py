"""Runs a campaign to its end, or until SIGINT or SIGTERM; and builds experiments from names and settings."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from brownout.explore.campaign import Campaign
from brownout.explore.experiment import CONFIGURATIONS, STOCK, WORKLOADS, Configuration, Experiment, Workload
from brownout.explore.maps.cell import Cell, names
from brownout.explore.maps.faultmap import FaultMap
from brownout.explore.options import Options
from brownout.explore.signals import heeding
from brownout.plan.near import UnknownName, known
from brownout.plan.point import Point
from brownout.plan.secrets import FILL_IN, typed, unfilled
from brownout.plan.settle import WARM_UP
from brownout.run.events import CampaignEnded, Planned, campaigning
from brownout.run.turns import Stopped
from brownout.subject.application import NOWHERE, Application, Surface, Unusable, surface
from brownout.subject.environment import environment_of

STOCK_TASK = "brownout.explore.stock.work"
BROKER, BACKEND = "CELERY_BROKER_URL", "CELERY_RESULT_BACKEND"  # Celery reads these variables before its own settings
REDIS = ("redis", "rediss")
Plan = Callable[[Campaign], Sequence[Cell]]


def configured(name: str, settings: Mapping[str, Any] | None = None) -> Configuration:
    """Return the configuration of this name with `settings` replaced; the key "a.b" replaces the key "b" in the mapping
    "a".

    The new name includes the settings ("defaults+task_acks_late=true"), and `configured` also accepts a name with
    settings. Raises UnknownName and ValueError for wrong names and values.
    """
    base, *more = re.split(r"\+(?=[a-z_.]+=)", name)
    chosen = CONFIGURATIONS[known("configuration", base, CONFIGURATIONS)]
    laid = dict(setting(text) for text in more) | dict(settings or {})
    whole: dict[str, Any] = dict(chosen.settings)
    for key, value in laid.items():
        top, _, below = key.partition(".")
        known("setting of Celery", top, _settings() or {top})
        whole[top] = {**(whole.get(top) or {}), below: value} if below else value
    called = "+".join(
        [base, *(f"{key}={_written(typed('settings', {key: value})[key])}" for key, value in laid.items())]
    )
    return replace(chosen, name=called, settings=whole)


def setting(text: str) -> tuple[str, Any]:
    """Read the text `name=value`; the value is JSON or else plain text. Raises ValueError when the name or the value is
    missing."""
    key, equals, value = text.partition("=")
    if unfilled(value):
        raise ValueError(f"{key}={FILL_IN} needs its value: values that look like secrets are not stored")
    if not (key and equals and value):
        raise ValueError(f"a setting is written name=value, such as task_acks_late=true, not {text!r}")
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
    workload: str | Workload = "task",
    settings: Mapping[str, Any] | None = None,
    application: Application | None = None,
    task: str = "",
    args: Sequence[Any] | None = None,
    kwargs: Mapping[str, Any] | None = None,
    python: str = "",
    given: Collection[str] = (),
    warm_up: float = WARM_UP,
) -> Experiment:
    """Return the experiment (application, workload, configuration) for a fault map. If `application` is not given, the
    experiment uses brownout's stock application; otherwise the application is imported from the directory `root`.

    The stock application runs with the Python at the path `python`. `given` has the names of the variables of `env`
    that the caller chose. Raises UnknownName with similar names, ValueError for arguments that exclude each other, and
    Unusable for an application that cannot be tested.
    """
    load = workload if isinstance(workload, Workload) else WORKLOADS[known("workload", workload, WORKLOADS)]
    configuration = configured(config, settings)
    if application is None:
        if task or args or kwargs:
            raise ValueError("a task, args and kwargs need an application of your own")
        stock = replace(STOCK, python=python)
        return Experiment(stock, root, configuration, load, STOCK_TASK, warm_up=warm_up)
    told = surface(application, root)
    application = wired(application, root, told.wiring, given)
    if load.http is None:
        _check(application, load, task, told)
    results = BACKEND in application.env and task not in told.ignores
    whole = Experiment(application, root, configuration, load, task, tuple(args or ()), dict(kwargs or {}))
    return replace(whole, results=results, warm_up=warm_up)


def _check(application: Application, load: Workload, task: str, told: Surface) -> None:
    if load.task or load.body:
        raise ValueError(f"the workload {load.name!r} needs tasks of the stock application")
    if not told.tasks:
        more = "name the modules that have them with include=, or give --app the module that imports them"
        raise Unusable(f"{application.celery} has no tasks: {more}")
    if not task:
        raise ValueError(f"name a task of {application.celery}, which has: {', '.join(told.tasks)}")
    try:
        known(f"task of {application.celery}", task, told.tasks)
    except UnknownName as error:
        raise Unusable(str(error)) from error


def wired(
    application: Application, root: Path, wiring: Mapping[str, str | None], given: Collection[str]
) -> Application:
    """Return the application with its broker and its results in the trial's Redis. Raises Unusable for another broker.

    An application that has no result backend, or a result backend that is not Redis, keeps its setting.
    """
    if not wiring:
        return application
    scheme = str(wiring["own_broker"] or "redis").partition("+")[0]
    if scheme not in REDIS and BROKER not in given:
        raise Unusable(f"the application's broker is {scheme}, and brownout breaks Redis: nothing was tried")
    for side in ("read", "write"):
        if NOWHERE.rpartition("/")[2] not in re.split("[/@]", str(wiring[side])):
            name = "--env NAME={broker} gives it the trial's, if a variable has the URL"
            raise Unusable(f"the application's broker stays {wiring[side]} whatever {BROKER} says; {name}")
    owners = {**environment_of(replace(application, env={}), "worker", root, {}), **os.environ}
    backend = str(wiring["own_backend"] or owners.get(BACKEND, "")).partition("+")[0].partition(":")[0]
    if BACKEND in given or backend in REDIS:
        return application
    return replace(application, env={name: value for name, value in application.env.items() if name != BACKEND})


def called(points: Iterable[Point], cells: Iterable[Cell]) -> dict[str, Cell]:
    """Return a mapping from the short names of the cells, as a map with the fault points `points` names them, to the
    cells."""
    short = names(points)
    return {f"{short[cell.point]}/{cell.moment}-{cell.action}": cell for cell in cells}


@dataclass(frozen=True)
class Explored:
    """The result of the function `explore`. `possible` maps names to all cells that the map could have. `stopped` is
    the signal that ended the campaign, or 0."""

    map: FaultMap
    possible: Mapping[str, Cell]
    stopped: int = 0


def explore(experiment: Experiment, options: Options, plan: Plan) -> Explored:
    """Find the fault points, try the cells that the function `plan` returns, and clean up, also after SIGINT or
    SIGTERM.

    After a signal the returned map is incomplete. Raises NoMap, NoRedis, ValueError for an application that cannot be
    imported, and the exceptions of `plan`. The signals end the campaign only when this function runs in the main
    thread.
    """
    stopped = 0
    campaign = Campaign(experiment, options)

    def stop(number: int) -> None:
        nonlocal stopped
        if not stopped:  # a second signal must not interrupt the clean-up
            stopped = number
            campaign.stop()

    with campaigning(options.emit, experiment.title), heeding(stop):
        try:
            with campaign:
                campaign.discover()
                campaign.planned = tuple(plan(campaign))
                options.emit(Planned(len(campaign.own) * options.repeat))
                campaign.attempt()
            stopped = 0  # a signal after the last trial changes nothing
        except Stopped:
            pass
        possible = called(campaign.discovery.points, campaign.possible()) if campaign.discovery else {}
        map_ = campaign.map(complete=not stopped)
    options.emit(CampaignEnded(experiment.title, map_))
    return Explored(map_, possible, stopped)
