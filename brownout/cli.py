"""The command line: `brownout map`. Exit codes: 0 valid, 1 invalid, 2 unknown, 64 a wrong command, 130 after Ctrl-C."""

from __future__ import annotations

import argparse
import json
import os
import shlex
import sys
import traceback
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path

from brownout.check.verdict import Validity
from brownout.explore import baseline, diff
from brownout.explore.action import Action, chosen
from brownout.explore.campaign import COLD, DISCOVERIES, Campaign, NoMap, Options, jobs_for
from brownout.explore.cell import Cell
from brownout.explore.faultmap import EXIT, FaultMap
from brownout.explore.mission import CONFIGURATIONS, WORKLOADS, Mission
from brownout.explore.selection import select
from brownout.explore.session import Progress, called, configured, explore, mission, setting
from brownout.options import CELERY_ENV, LISTS, SIGNAL, STORE, USAGE, parser
from brownout.plan.near import UnknownName, known
from brownout.report.grid import Line, Span, columns, detail, grid, markdown, write
from brownout.report.terminal import SIGNS
from brownout.run.store import folder_of
from brownout.subject.application import Application
from brownout.subject.ladder import NoRedis


class Usage(Exception):
    """The command asks for something that there is not."""


def main(argv: Sequence[str] | None = None) -> int:
    """Do what the command line says; returns the exit code. SystemExit for --help and for wrong options."""
    given = parser().parse_args(argv)
    try:
        code = _map(given)
        sys.stdout.flush()
    except Usage as error:
        sys.stderr.write(f"brownout map: error: {error}\n")
        return USAGE
    except (NoMap, NoRedis) as error:
        sys.stderr.write(f"brownout map: no map: {error}\n")
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
            _make(place.parent)
        if given.list and LISTS[given.list]:
            return _list(given.list)
        if given.diff:
            return _diff(given)
        return _shown(given) if given.show else _run(given)
    except UnknownName as error:
        raise Usage(error) from error


def _run(given: argparse.Namespace) -> int:
    asked = _mission(given)
    if given.pairs:
        return _pairs(given, asked)
    accepted = _accepted(given, f"{asked.configuration.name}/{asked.workload.name}")
    place = given.save or STORE / f"{folder_of(f'{asked.configuration.name}-{asked.workload.name}')}.json"
    wanted = list(dict.fromkeys(given.cells))
    if given.again:
        stored = _load(place)
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

    few = bool(wanted or given.list)  # no map: a bench for each trial, and no comparison with cold processes
    options = Options(
        jobs=given.jobs or (min(max(DISCOVERIES, len(wanted) * given.repeat + 1), jobs_for(os.cpu_count())) * few),
        repeat=given.repeat,
        cold=0 if few else COLD,
        provider=None if given.provider == "auto" else given.provider,
    )
    found = explore(asked, options, plan, Progress(sys.stderr))
    if given.list and not found.stopped:
        sys.stdout.writelines(f"{point.short:<32} {point.label}\n" for point in found.map.trace)
        return EXIT["valid"]
    whole = not (wanted or given.points or found.stopped) and set(given.actions) <= {"standard", "all"}
    if (given.save and not given.again) or whole:
        _store(found.map, place)
    names = [name for short, cell in found.possible.items() for name in (short, cell.full)]
    validity, remarks = _judged(found.map, accepted, names or None)
    if not found.stopped:
        return _present(given, found.map, EXIT[validity], (validity, remarks))
    return _present(given, found.map, SIGNAL + found.stopped, ("interrupted", remarks))


def _pairs(given: argparse.Namespace, asked: Mission) -> int:
    from brownout.explore.pairs_campaign import run_pairs
    from brownout.explore.pairs_map import report

    if given.cells or given.baseline:
        raise Usage("--pairs takes its cells from --point and --actions, and no --baseline")
    options = Options(
        actions=given.actions or ["standard"],
        points=given.points,
        jobs=given.jobs,
        provider=None if given.provider == "auto" else given.provider,
    )
    progress = Progress(sys.stderr)
    found = run_pairs(asked, options, sample=given.sample, seed=given.seed, progress=progress)
    sys.stdout.write(report(found) + "\n")
    place = given.save or STORE / f"{folder_of(f'pairs-{asked.configuration.name}-{asked.workload.name}')}.json"
    _make(place.parent)
    found.save(place)
    sys.stderr.write(f"stored in {place}\n")
    return EXIT[found.validity] if found.complete else SIGNAL + 2


def _cell(name: str, there: Mapping[str, Cell]) -> Cell:
    """By its short or full name; UnknownName says whether it is the point or the action that there is not."""
    by_name = {**there, **{cell.full: cell for cell in there.values()}}
    if name not in by_name:
        point = known("point", name.rpartition("/")[0], {each.rpartition("/")[0] for each in there})
        known("cell", name, [each for each in there if each.rpartition("/")[0] == point])
    return by_name[name]


def _shown(given: argparse.Namespace) -> int:
    stored = _load(given.show)
    accepted = _accepted(given, stored.title)
    wanted = {each.name for each in chosen(given.actions)} & {each.cell.action for each in stored.cells}
    part = stored.filtered(given.points, wanted)
    if given.cells:
        part = replace(part, cells=tuple(part.result(name) for name in dict.fromkeys(given.cells)))
    names = [name for cell, short in stored.names.items() for name in (short, cell.full)]
    validity, remarks = _judged(part, accepted, names)
    return _present(given, part, EXIT[validity], (validity, remarks))


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
    return Application(celery=given.app, env=env, queues=tuple(given.queue or ("celery",)))


# --- files


def _load(name: str | Path) -> FaultMap:
    """By its file, or by its name in the store."""
    path = Path(name)
    if not path.exists() and len(path.parts) == 1:
        path = STORE / f"{path.name.removesuffix('.json')}.json"
    if not path.exists():
        there = ", ".join(sorted(each.stem for each in STORE.glob("*.json"))) or "none"
        raise Usage(f"no map is stored at {name}; in {STORE}: {there}")
    try:
        return FaultMap.load(path)
    except (OSError, ValueError) as error:
        raise Usage(error) from error


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise Usage(error) from error


def _store(map_: FaultMap, place: Path) -> None:
    _make(place.parent)
    if place.parent == STORE and not (ignore := STORE.parent / ".gitignore").exists():
        ignore.write_text("*\n")  # as the traces of trials beside it
    map_.save(place)
    sys.stderr.write(f"stored in {place}\n")


def _accepted(given: argparse.Namespace, title: str) -> tuple[baseline.Accepted, ...]:
    if not given.baseline:
        return ()
    titles = {f"{config}/{workload}" for config in CONFIGURATIONS for workload in WORKLOADS}
    try:
        return baseline.load(given.baseline, {title, *titles})
    except (OSError, ValueError) as error:
        raise Usage(error) from error


def _judged(
    map_: FaultMap, accepted: Sequence[baseline.Accepted], names: Collection[str] | None
) -> tuple[Validity, list[str]]:
    """With a baseline it is the judge; its remarks leave out what is good and what is simply accepted."""
    if not accepted:
        return map_.validity, []
    judgement = baseline.judge(map_, accepted, datetime.now(UTC).date(), names)
    remarks = [f"{each.kind}: {each.sentence}" for each in judgement.rulings if each.kind not in ("good", "accepted")]
    return judgement.validity, [*remarks, f"{len(judgement.of('accepted'))} accepted by the baseline"]


# --- what a person sees


def _present(given: argparse.Namespace, map_: FaultMap, code: int, said: tuple[str, Sequence[str]]) -> int:
    shown = map_.filtered(only_bad=given.only_bad)
    if given.markdown:
        given.markdown.write_text(markdown(map_))
    if _as_json(given, shown.to_json()):
        return code
    lines: list[Line] = []
    if given.cells or given.only_bad or given.again:
        for each in (map_ if given.cells else shown).cells:
            name = map_.names[each.cell]
            lines += [*detail(each, name, _again(given, map_, name)), ()]
    else:
        words = {each.cell: each.primary.partition(":")[0] for each in shown.cells if each.verdict != "valid"}
        room = max(map(len, words.values()), default=0)
        for cell, word in words.items():
            lines.append((Span(f"  {word:<{room}}  ", "bold"), Span(_again(given, map_, map_.names[cell]))))
        lines.append(())
    if given.cells:
        lines += [(Span(why),) for why in (*map_.void, *map_.doubts)]
    else:
        lines += grid(shown, columns())[:-1] if shown.cells else [(Span("nothing to show"),)]
    lines += [(Span(each),) for each in said[1]]
    lines.append((Span(f"{SIGNS.get(said[0], SIGNS['unknown'])} {said[0]}: exit code {code}", "bold"),))
    write(lines)
    return code


def _as_json(given: argparse.Namespace, text: str) -> bool:
    """Whether that was all that is wanted on standard output."""
    if given.json and given.json != "-":
        Path(given.json).write_text(text)
    elif given.json:
        sys.stdout.write(text)
    return bool(given.json == "-")


def _again(given: argparse.Namespace, map_: FaultMap, cell: str) -> str:
    """The command that tries the cell again."""
    named = {
        **{"--app": given.app, "--task": given.task, "--env": given.env, "--queue": given.queue},
        **{"--args": given.args and json.dumps(given.args), "--kwargs": given.kwargs and json.dumps(given.kwargs)},
        "--mission": given.mission,
        "--config": map_.name
        if map_.name != "defaults" and (given.config or given.settings or not given.mission)
        else None,
        "--workload": map_.workload if map_.workload != "task" and not given.mission else None,
        "--provider": given.provider if given.provider != "auto" else None,
    }
    words = [word for name, value in named.items() if value
             for word in (name, *([value] if isinstance(value, str) else value))]  # fmt: skip
    return shlex.join(["brownout", "map", cell, *words])


def _diff(given: argparse.Namespace) -> int:
    one, two = (_load(name).filtered(given.points) for name in given.diff)
    found = diff.diff(one, two)
    if not _as_json(given, found.to_json()):
        sys.stdout.write(f"{diff.text(found)}\n")
    if found.worse or any(each.step > 0 for each in found.changed):
        return EXIT["invalid"]
    return EXIT["unknown" if found.unknown or found.warnings else "valid"]


def _list(what: str) -> int:
    for each in LISTS[what].values():
        moments = f"{', '.join(each.moments):<14}  " if isinstance(each, Action) else ""
        more = " (all)" if isinstance(each, Action) and each.everything else ""
        sys.stdout.write(f"{each.name:<14}  {moments}{each.summary}{more}\n")
    return EXIT["valid"]


if __name__ == "__main__":
    sys.exit(main())
