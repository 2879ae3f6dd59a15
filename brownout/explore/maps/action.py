"""The actions of a fault map: the faults that may strike a Redis request or its reply, and the fault points at which
each action makes sense."""

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
    """A kind of failure that may strike at a point (a Redis request or its reply). `summary` is the line about the
    action in reports. An action whose field `everything` is true is tried only with `--actions all`."""

    name: str
    moments: tuple[Moment, ...]
    summary: str
    everything: bool = False
    on: Callable[[Point], bool] = lambda _: True
    state: str | None = None  # the fault sends the error reply of a server in this state, such as "oom" (out of memory)


def worker(point: Point) -> bool:
    """Whether a worker sends the request of the fault point."""
    return point.edge.startswith("worker")


def killable(point: Point) -> bool:
    """Whether it is useful to kill the process that sends the request at this fault point: true for workers, and for
    processes that publish a message."""
    return worker(point) or (point.edge.endswith("->broker") and not point.edge.startswith("beat"))


def server(point: Point) -> bool:
    """Whether the API process sends the request of the fault point."""
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
    Action("kill", ("before", "after"), "the request's process and its children are killed", on=killable),
    Action("kill-child", ("after",), "the worker's pool processes are killed", on=worker),
    Action("restart-broker", ("before", "after"), "the server is killed, and started again with its data"),
    Action("reset", ("before", "after"), "the connection is reset (RST)", everything=True),
    Action("truncated", ("after",), "half of the reply comes, then the connection ends", everything=True),
    Action("stop", ("before", "after"), "the request's process is frozen for a while", everything=True, on=killable),
    Action("misconf", ("before",), "the server can't save its data", everything=True, state="misconf"),
    Action("noauth", ("before",), "the server wants a password", everything=True, state="noauth"),
    Action("maxclients", ("before",), "the server has no connection left", everything=True, state="maxclients"),
)  # fmt: skip
ACTIONS: Mapping[str, Action] = {action.name: action for action in _ALL}
STANDARD = tuple(action.name for action in _ALL if not action.everything)


def chosen(names: Iterable[str], pool: str = "prefork") -> tuple[Action, ...]:
    """Return the actions with these names; "standard" and "all" name several actions. Raises UnknownName with similar
    names.

    A worker whose pool is not prefork has no pool processes, so the action that kills them is left out.
    """
    wanted: set[str] = set()
    for name in names:
        if name == "all":
            wanted |= set(ACTIONS)
        elif name == "standard":
            wanted |= set(STANDARD)
        else:
            wanted.add(known("action", name, [*ACTIONS, "standard", "all"]))
    fit = (action for action in _ALL if pool == "prefork" or action.name != "kill-child")
    return tuple(action for action in fit if action.name in wanted)


def cells(points: Iterable[Point], samples: Mapping[Point, Commands], actions: Iterable[Action]) -> tuple[Cell, ...]:
    """Return every cell that makes sense, in the order of the fault points, then of the actions.

    `samples` are the commands that were seen at a fault point: an error reply makes sense only for commands that a
    server may refuse with this error.
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
    # A message that Redis pushes answers no request, and a BRPOP was sent long before its reply, so no fault can strike
    # "before" them.
    pushed = point.command in ("PUSH", "BRPOP", "BLPOP")
    return ("after",) if pushed else ("before", "after")


def _refused(state: str, commands: Commands) -> bool:
    if STATES[state].newcomers and commands and commands[0][0] != b"HELLO":
        return False  # the server in this state still serves connections that were opened earlier
    return bool(commands) and refusal(state, commands) is not None
