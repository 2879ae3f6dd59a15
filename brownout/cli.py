"""The command line. Exit codes: 0 valid, 1 invalid, 2 unknown, 64 a wrong command, 130 after Ctrl-C."""

from __future__ import annotations

import argparse
import json
import os
import sys
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import replace
from importlib import import_module
from pathlib import Path

from brownout import cli_replay, cli_shrink, maps
from brownout.explore.action import chosen
from brownout.explore.campaign import COLD, DISCOVERIES, Campaign, NoMap, Options
from brownout.explore.cell import Cell
from brownout.explore.diff import reproduced
from brownout.explore.faultmap import EXIT, FaultMap
from brownout.explore.mission import Mission
from brownout.explore.selection import select
from brownout.explore.session import called, configured, explore, mission, setting
from brownout.options import CELERY_ENV, LISTS, SIGNAL, USAGE, Usage, parser
from brownout.plan.near import UnknownName, known
from brownout.report.progress import to_stream
from brownout.report.stored import STORE, TRACES, Stored
from brownout.run.events import Stream
from brownout.run.store import Store, folder_of, new_run
from brownout.subject.application import Application
from brownout.subject.ladder import NoRedis


def main(argv: Sequence[str] | None = None) -> int:
    """Do what the command line says; returns the exit code. SystemExit for --help and for wrong options."""
    given = parser(cli_replay.add, cli_shrink.add).parse_args(argv)
    try:
        code = given.run(given) if "run" in given else _map(given)
        sys.stdout.flush()
    except Usage as error:
        sys.stderr.write(f"brownout {given.command}: error: {error}\n")
        return USAGE
    except (NoMap, NoRedis) as error:
        nothing = "no map" if given.command == "map" else "unknown"
        sys.stderr.write(f"brownout {given.command}: {nothing}: {error}\n")
        return EXIT["unknown"]
    except KeyboardInterrupt:
        return SIGNAL + 2
    except BrokenPipeError:  # `| head` has what it wanted
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT["unknown"]
    except Exception:  # Python's own exit code for it would be taken for "invalid"
        traceback.print_exc()
        return EXIT["unknown"]
    return code


def _map(given: argparse.Namespace) -> int:
    if given.cells and (given.points or given.again or given.diff or given.list):
        raise Usage("a CELL goes with --show, or alone: not with --point, --again, --diff or --list")
    if given.again and (given.points or given.actions):
        raise Usage("--again takes its cells from the stored map: no --point, no --actions")
    given.actions = [name for each in given.actions or () for name in each.split(",")]
    try:
        chosen(given.actions)
        for place in filter(None, (given.save, given.markdown, Path(given.json or "-"))):  # before a minute's work
            maps.make(place.parent)
        if given.list and LISTS[given.list]:
            return maps.listed(given.list)
        if given.diff:
            return maps.compared(given)
        return maps.shown(given) if given.show else _run(given)
    except UnknownName as error:
        raise Usage(error) from error


def _run(given: argparse.Namespace) -> int:
    asked = _mission(given)
    if given.pairs:
        return _pairs(given, asked)
    accepted = maps.accepted_cells(given, asked.title)
    place = given.save or STORE / f"{folder_of(f'{asked.configuration.name}-{asked.workload.name}')}.json"
    wanted = list(dict.fromkeys(given.cells))
    stored: FaultMap | None = None
    if given.again:
        stored = maps.load(place)
        wanted = [each.cell.full for each in stored.cells if each.verdict != "valid"]
        if not wanted:
            sys.stdout.write(f"{place}: nothing in it is bad\n")
            return EXIT[stored.validity]

    def plan(campaign: Campaign) -> Sequence[Cell]:
        assert campaign.discovery
        if given.list:
            return ()
        if not wanted:
            return select(campaign.possible(given.actions or ["standard"]), given.points)
        return tuple(_cell(name, called(campaign.discovery.points, campaign.possible())) for name in wanted)

    words = _words(given, asked)

    def keep(found: object) -> FaultMap | None:
        """The map, when it is to be stored."""
        if not isinstance(found, FaultMap) or given.list:
            return None
        whole = not (wanted or given.points) and found.complete and set(given.actions) <= {"standard", "all"}
        return replace(found, options=words) if whole or (given.save and not given.again) else None

    traces = Store(TRACES, new_run())
    few = bool(wanted or given.list)  # no map: a bench for each trial, and no comparison with cold processes
    options = Options(
        jobs=given.jobs,
        most=max(DISCOVERIES, len(wanted) * given.repeat + 1) * few,
        repeat=given.repeat,
        cold=0 if few else COLD,
        provider=None if given.provider == "auto" else given.provider,
        emit=Stream(to_stream(sys.stderr), Stored(place, keep)),
        store=traces,
    )
    found = explore(asked, options, plan)
    drawn = replace(found.map, options=words)
    if capsules := traces.trials():
        sys.stderr.write(f"trials with a broken promise, stored: {len(capsules)}; brownout replay {capsules[-1]}\n")
    if given.list and not found.stopped:
        sys.stdout.writelines(f"{point.short:<32} {point.label}\n" for point in drawn.trace)
        return EXIT["valid"]
    names = [name for short, cell in found.possible.items() for name in (short, cell.full)]
    validity, remarks = maps.judged(drawn, accepted, names or None)
    if stored:
        remarks += reproduced(stored, drawn)
    if not found.stopped:
        return maps.present(given, drawn, EXIT[validity], (validity, remarks))
    return maps.present(given, drawn, SIGNAL + found.stopped, ("interrupted", remarks))


def _pairs(given: argparse.Namespace, asked: Mission) -> int:
    from brownout.explore.pairs_campaign import run_pairs
    from brownout.explore.pairs_map import PairMap
    from brownout.report.pairs import report

    if given.cells or given.baseline:
        raise Usage("--pairs takes its cells from --point and --actions, and no --baseline")
    place = given.save or STORE / f"{folder_of(f'pairs-{asked.configuration.name}-{asked.workload.name}')}.json"
    stored = Stored(place, lambda found: found if isinstance(found, PairMap) else None)
    options = Options(
        actions=given.actions or ["standard"],
        points=given.points,
        jobs=given.jobs,
        provider=None if given.provider == "auto" else given.provider,
        emit=Stream(to_stream(sys.stderr), stored),
    )
    found = run_pairs(asked, options, sample=given.sample, seed=given.seed)
    sys.stdout.write(report(found) + "\n")
    return EXIT[found.validity] if found.complete else SIGNAL + 2


def _cell(name: str, there: Mapping[str, Cell]) -> Cell:
    """By its short or full name; UnknownName says whether it is the point or the action that there is not."""
    by_name = {**there, **{cell.full: cell for cell in there.values()}}
    if name not in by_name:
        point = known("point", name.rpartition("/")[0], {each.rpartition("/")[0] for each in there})
        known("cell", name, [each for each in there if each.rpartition("/")[0] == point])
    return by_name[name]


def _mission(given: argparse.Namespace) -> Mission:
    own = given.task or given.args or given.kwargs or given.env or given.queue
    if given.mission and (given.app or given.workload or own):
        raise Usage("a --mission has its own application, task and workload")
    if own and not given.app:
        raise Usage("--task, --args, --kwargs, --env and --queue belong to an --app of your own")
    try:
        settings = dict(map(setting, given.settings))
        if given.mission:
            found = _imported(given.mission)
            config = given.config or found.configuration.name
            changed = given.config or settings
            found = replace(found, name=given.mission)
            return replace(found, configuration=configured(config, settings)) if changed else found
        return mission(
            Path.cwd(),
            config=given.config or "defaults",
            workload=given.workload or "task",
            settings=settings,
            application=_application(given) if given.app else None,
            task=given.task or "",
            args=given.args,
            kwargs=given.kwargs,
        )
    except ValueError as error:
        raise Usage(error) from error


def _words(given: argparse.Namespace, asked: Mission) -> tuple[str, ...]:
    """The options that lead to the same map again."""
    config, load = asked.configuration.name, asked.workload.name
    named = {
        **{"--app": given.app, "--task": given.task, "--env": given.env, "--queue": given.queue},
        **{"--args": given.args and json.dumps(given.args), "--kwargs": given.kwargs and json.dumps(given.kwargs)},
        "--mission": given.mission,
        "--config": config if given.config or given.settings else None,
        "--workload": load if given.workload else None,
        "--provider": given.provider if given.provider != "auto" else None,
    }
    return tuple(
        word
        for name, value in named.items()
        if value
        for word in (name, *([value] if isinstance(value, str) else value))
    )


def _imported(place: str) -> Mission:
    name, _, attribute = place.partition(":")
    sys.path.insert(0, str(Path.cwd()))  # as `celery -A` does
    try:
        there = {key: value for key, value in vars(import_module(name)).items() if isinstance(value, Mission)}
    except ImportError as error:
        raise Usage(f"{place} can't be imported: {error}") from error
    return there[known(f"mission of {name}", attribute, there)]


def _application(given: argparse.Namespace) -> Application:
    if wrong := [each for each in given.env if not each.partition("=")[1]]:
        raise Usage(f"--env is NAME=VALUE: {wrong[0]!r}")
    env = CELERY_ENV | {key: value for key, _, value in (each.partition("=") for each in given.env)}
    return Application(celery=given.app, env=env, queues=tuple(given.queue or ()))


if __name__ == "__main__":
    sys.exit(main())
