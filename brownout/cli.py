"""The command line: `brownout map`. Exit codes: 0 valid, 1 invalid, 2 unknown, 64 a wrong command, 130 after Ctrl-C."""

from __future__ import annotations

import argparse
import json
import os
import shlex
import sys
import traceback
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path
from typing import Any, Final, NoReturn, get_args

from brownout.check.verdict import Validity
from brownout.explore import baseline, diff
from brownout.explore.action import ACTIONS, Action, chosen
from brownout.explore.campaign import COLD, DISCOVERIES, Campaign, NoMap, Options, jobs_for
from brownout.explore.cell import Cell
from brownout.explore.faultmap import EXIT, FaultMap
from brownout.explore.mission import CONFIGURATIONS, WORKLOADS, Configuration, Mission, Workload
from brownout.explore.selection import select
from brownout.explore.session import Progress, called, configured, explore, mission, setting
from brownout.plan.near import UnknownName, known
from brownout.report.grid import Line, Span, columns, detail, grid, markdown, write
from brownout.report.terminal import SIGNS
from brownout.run.store import folder_of, versions
from brownout.subject.application import Application
from brownout.subject.ladder import NoRedis
from brownout.subject.redis_server import RungName

USAGE: Final = 64  # sysexits.h: EX_USAGE; argparse's own 2 would be taken for "unknown"
SIGNAL: Final = 128  # and the number of the signal
STORE: Final = Path("store", "maps")
LISTS: Final[Mapping[str, Mapping[str, Action | Workload | Configuration]]] = {
    "points": {},  # they are looked for
    "actions": ACTIONS,
    "workloads": WORKLOADS,
    "configs": CONFIGURATIONS,
}
#: What Celery asks before its own settings (celery.app.utils.Settings).
CELERY_ENV: Final = {"CELERY_BROKER_URL": "{broker}", "CELERY_RESULT_BACKEND": "{backend}"}


class Usage(Exception):
    """The command asks for something that there is not."""


class Parser(argparse.ArgumentParser):
    """argparse, but for the exit code of a wrong command."""

    def error(self, message: str) -> NoReturn:
        """Say what is wrong, and how it would be right."""
        self.print_usage(sys.stderr)
        self.exit(USAGE, f"{self.prog}: error: {message}\n")


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


def parser() -> Parser:
    """The options; each help text says its default."""
    whole = Parser(prog="brownout", description="What does a Celery system do when a part of it fails?")
    version = f"brownout {versions('brownout').get('brownout', 'not installed')}"
    whole.add_argument("--version", action="version", version=version, help="print the version (default: no)")
    one = whole.add_subparsers(dest="command", required=True, metavar="COMMAND").add_parser(
        "map",
        help="break every Redis command of a task's life in every way (default: stock Celery, standard actions)",
        description="Draw a fault map: one trial for each command of a task's life on Redis and each way it can fail. "
        "With CELL, try that one alone, and say what proves it.",
        epilog="Exit codes: 0 valid, 1 invalid (something bad), 2 unknown, 64 wrong command, 130 after Ctrl-C.",
    )
    one.add_argument("cells", nargs="*", metavar="CELL",
        help="'worker->broker/ZADD#1/before-cut', before all options (default: the whole map)")  # fmt: skip
    many: dict[str, Any] = {"nargs": "+", "action": "extend"}
    add = one.add_argument_group("what is broken").add_argument
    add("--app", metavar="MODULE", help="an application of your own, as for `celery -A` (default: a stock one)")
    add("--task", metavar="NAME", help="the task of --app that is sent (default: the stock one)")
    add("--args", metavar="JSON", type=_json(list), help="its positional arguments (default: [])")
    add("--kwargs", metavar="JSON", type=_json(dict), help="its keyword arguments (default: {})")
    env = " ".join(f"{name}={value}" for name, value in CELERY_ENV.items())
    add("--env", metavar="NAME=VALUE", **many, default=[], help=f"environment of --app, {{files}} is a directory of the"
        f" trial (default: {env})")  # fmt: skip
    add("--queue", metavar="NAME", **many, help="queues of --app (default: celery)")
    add("--workload", metavar="NAME", help="what is sent: --list workloads (default: task)")
    add("--mission", metavar="MODULE:NAME", help="a brownout.explore.mission.Mission instead of these (default: none)")
    add("--config", metavar="NAME", help="Celery's settings: --list configs (default: defaults, or --mission's)")
    add("--set", metavar="NAME=VALUE", **many, default=[], dest="settings",
        help="settings over --config, as task_acks_late=true or broker_transport_options.socket_timeout=2"
        " (default: none)")  # fmt: skip
    add = one.add_argument_group("which cells, and how").add_argument
    add("--point", metavar="GLOB", **many, default=[], dest="points",
        help="points of this name, edge or command, or a part of it (default: all)")  # fmt: skip
    add("--actions", metavar="NAME,…", **many,
        help="standard, all, or names of --list actions (default: standard, and with --show all)")  # fmt: skip
    add("--repeat", type=_positive, default=1, metavar="N", help="trials of each cell (default: 1)")
    add("--jobs", type=_positive, default=0, metavar="N", help="trials at once (default: 8 for each core)")
    add("--sample", type=_positive, default=0, metavar="N", help="so many of the pairs (default: all)")
    add("--seed", type=int, default=0, metavar="N", help="which pairs the sample takes (default: 0)")
    add("--provider", choices=("auto", *get_args(RungName)), default="auto",
        help="where Redis comes from (default: auto, a local server first)")  # fmt: skip
    add = one.add_argument_group("what comes out").add_argument
    add("--only-bad", action="store_true", help="only what is not good, with its proof (default: all cells, a grid)")
    add("--json", metavar="FILE", help="write the result as JSON, - for standard output (default: text)")
    add("--save", metavar="FILE", type=Path,
        help=f"store the map there (default: {STORE}/CONFIG-WORKLOAD.json, when it is whole)")  # fmt: skip
    add("--markdown", metavar="FILE", type=Path, help="write the map as a table for a page (default: no)")
    add("--baseline", metavar="FILE", type=Path, help="judge by the cells that it accepts (default: by none)")
    add = one.add_argument_group("instead").add_mutually_exclusive_group().add_argument
    add("--pairs", action="store_true", help="two faults, the second in the recovery from the first (default: one)")
    add("--again", action="store_true", help="only the stored map's cells that are not good; it stays (default: no)")
    add("--show", metavar="FILE", help="show a stored map, by its file or name; run nothing (default: run)")
    add("--diff", metavar=("A", "B"), nargs=2,
        help="what is better and worse in stored map B; exit code 1 for worse (default: run)")  # fmt: skip
    add("--list", choices=LISTS, help="list what can be named (default: run)")
    return whole


def _json(kind: type) -> Callable[[str], Any]:
    def read(text: str) -> Any:
        with suppress(ValueError):
            if isinstance(value := json.loads(text), kind):
                return value
        raise argparse.ArgumentTypeError(f"a JSON {'array' if kind is list else 'object'} is wanted, not {text!r}")

    return read


def _positive(text: str) -> int:
    if not text.isdecimal() or not int(text):
        raise argparse.ArgumentTypeError(f"a whole number from 1 is wanted, not {text!r}")
    return int(text)


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
