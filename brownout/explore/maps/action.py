"""What can go wrong at a point of the wire, and where it makes sense."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from brownout.explore.maps.cell import Cell
from brownout.plan.near import known
from brownout.plan.point import IDLE, Moment, Point
from brownout.wire.redis.refusals import STATES, refusal

Commands = Sequence[tuple[bytes, ...]]


@dataclass(frozen=True)
class Action:
    """A way to fail. `summary` is a report's line; `everything` marks those behind `--actions all`."""

    name: str
    moments: tuple[Moment, ...]
    summary: str
    everything: bool = False
    on: Callable[[Point], bool] = lambda _: True
    state: str | None = None  # of the server, whose error reply is injected


def worker(point: Point) -> bool:
    """On an edge of a worker."""
    return point.edge.startswith("worker")


def killable(point: Point) -> bool:
    """Worth killing its process for: a worker's, or one that hands a message over."""
    return worker(point) or (point.edge.endswith("->broker") and not point.edge.startswith("beat"))


def server(point: Point) -> bool:
    """On an edge of the API."""
    return point.edge.startswith("api")


_ALL = (
    Action("cut", ("before", "after"), "the connection ends (FIN)"),
    Action("held", ("after",), "the reply comes late, past every time-out of 5 s or less"),
    Action("never", ("after",), "the reply never comes, and the connection stays open"),
    Action("late", ("before",), "the request reaches the server late, even when its client has gone"),
    Action("loading", ("before",), "the server loads its data", state="loading"),
    Action("readonly", ("before",), "the server has become a replica", state="readonly"),
    Action("busy", ("before",), "the server runs a script that does not end", state="busy"),
    Action("oom", ("before",), "the server's memory is full", state="oom"),
    Action("kill", ("before", "after"), "the process that sent it is killed, with all its children", on=killable),
    Action("kill-child", ("after",), "the worker's pool processes are killed", on=worker),
    Action("restart-broker", ("before", "after"), "the server is killed, and started again with its data"),
    Action("reset", ("before", "after"), "the connection is reset (RST)", everything=True),
    Action("truncated", ("after",), "half of the reply comes, then the connection ends", everything=True),
    Action("stop", ("before", "after"), "its process is stopped for a while", everything=True, on=killable),
    Action("misconf", ("before",), "the server can't save its data", everything=True, state="misconf"),
    Action("noauth", ("before",), "the server wants a password", everything=True, state="noauth"),
    Action("maxclients", ("before",), "the server has no connection left", everything=True, state="maxclients"),
)  # fmt: skip
ACTIONS: Mapping[str, Action] = {each.name: each for each in _ALL}
STANDARD = tuple(each.name for each in _ALL if not each.everything)


def chosen(names: Iterable[str]) -> tuple[Action, ...]:
    """By their names; "standard" and "all" stand for many. Raises UnknownName with the near matches."""
    wanted: set[str] = set()
    for name in names:
        if name == "all":
            wanted |= set(ACTIONS)
        elif name == "standard":
            wanted |= set(STANDARD)
        else:
            wanted.add(known("action", name, [*ACTIONS, "standard", "all"]))
    return tuple(each for each in _ALL if each.name in wanted)


def cells(points: Iterable[Point], samples: Mapping[Point, Commands], actions: Iterable[Action]) -> tuple[Cell, ...]:
    """Every cell that makes sense: in the order of the points, then of the actions.

    `samples` are the commands that were seen at a point: an error reply belongs only where a server would give it.
    """
    actions = tuple(actions)
    return tuple(
        Cell(point, moment, action.name)
        for point in points
        for action in actions
        for moment in action.moments
        if moment in _moments(point) and action.on(point)
        and (action.state is None or _refused(action.state, samples.get(point, ())))
    )  # fmt: skip


def _moments(point: Point) -> tuple[Moment, ...]:
    if point.label.endswith(IDLE):
        return ("before",)
    # What comes without being asked for, or was asked for long ago, has no moment before it.
    pushed = point.command in ("PUSH", "BRPOP", "BLPOP")
    return ("after",) if pushed else ("before", "after")


def _refused(state: str, commands: Commands) -> bool:
    if STATES[state].newcomers and commands and commands[0][0] != b"HELLO":
        return False  # a connection that was there before is served
    return bool(commands) and refusal(state, commands) is not None
