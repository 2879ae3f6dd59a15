"""How an action is carried out at the point that was reached. On the wire's loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from signal import SIGCONT, SIGSTOP
from typing import Any, Protocol

from brownout.explore.action import ACTIONS
from brownout.explore.conductor import Conductor, Hit
from brownout.explore.refusals import refusal

DRAIN = 0.005  # s for replies that are under way before a server is killed
CHILD = 0.05  # s for which the reply is kept when a pool process is killed
OUTAGE = 0.3  # s without a server


class Stage(Protocol):
    """What a strike takes hold of."""

    conductor: Conductor

    @property
    def held(self) -> float:
        """Seconds of wall time, as the time-outs of the application are; past every one of 5 s or less."""

    def kill(self, role: str, *, children_only: bool = False) -> None:
        """SIGKILL a role's process group, or its pool processes."""

    def signal(self, role: str, number: int) -> None:
        """To a role's process group."""

    async def restart_broker(self, outage: float) -> None:
        """SIGKILL the server, refuse connections, start it again with its data."""


@dataclass
class Striker:
    """Carries strikes out, and knows which of them are still in force."""

    stage: Stage
    tasks: set[asyncio.Task[None]] = field(default_factory=set)
    errors: list[BaseException] = field(default_factory=list)

    @property
    def active(self) -> bool:
        """Whether something is still to come from a strike."""
        return bool(self.tasks)

    def __call__(self, hit: Hit) -> None:
        """Strike."""
        name = hit.cell.action
        state = ACTIONS[name].state
        if state is not None:
            assert hit.request
            reply = refusal(state, [command.argv for command in hit.request.commands])
            assert reply is not None
            hit.passage.refuse(reply)
            if state == "maxclients":
                hit.passage.cut()
            return
        try:
            work = STRIKES[name](self.stage, hit)
        except OSError as wrong:  # it met nobody
            self.errors.append(wrong)
            return
        if work is not None:
            task = asyncio.get_running_loop().create_task(work)
            self.tasks.add(task)
            task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self.tasks.discard(task)
        if not task.cancelled() and (wrong := task.exception()):
            self.errors.append(wrong)

    async def end(self) -> None:
        """The trial is over: cancel what is under way, and wait until it has ended."""
        tasks = list(self.tasks)
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)


Work = Coroutine[Any, Any, None] | None


def _cut(_: Stage, hit: Hit) -> Work:
    hit.passage.cut()
    return None


def _reset(_: Stage, hit: Hit) -> Work:
    hit.passage.reset()
    return None


def _tear(_: Stage, hit: Hit) -> Work:
    hit.passage.tear()
    return None


def _never(_: Stage, __: Hit) -> Work:
    return None  # it is kept


async def _held(stage: Stage, hit: Hit) -> None:
    await asyncio.sleep(stage.held)
    hit.passage.let("downstream")


async def _late(stage: Stage, hit: Hit) -> None:
    hit.passage.asleep = True
    try:
        await asyncio.sleep(stage.held)
        hit.passage.let("upstream")
        if hit.passage.left:
            await asyncio.sleep(CHILD)  # for the server to execute it; its answer goes nowhere
    finally:
        hit.passage.asleep = False
        if hit.passage.left:  # nobody else would close the server's side
            hit.passage.cut()


def _kill(stage: Stage, hit: Hit) -> Work:
    stage.kill(role(hit))
    hit.passage.cut()
    return None


async def _kill_child(stage: Stage, hit: Hit) -> None:
    stage.kill(role(hit), children_only=True)
    await asyncio.sleep(CHILD)
    hit.passage.let("downstream")


async def _stop(stage: Stage, hit: Hit) -> None:
    stage.signal(role(hit), SIGSTOP)
    hit.passage.let("downstream" if hit.cell.moment == "after" else "upstream")
    await asyncio.sleep(stage.held)
    stage.signal(role(hit), SIGCONT)


def _restart(stage: Stage, _: Hit) -> Work:
    stage.conductor.freeze()  # at once: what comes now must not be executed before the server is killed

    async def restart() -> None:
        try:
            await asyncio.sleep(DRAIN)
            await stage.restart_broker(OUTAGE)
        finally:
            stage.conductor.thaw()

    return restart()


def role(hit: Hit) -> str:
    """The process at the client's end of the edge."""
    return hit.cell.point.edge.partition("->")[0]


STRIKES: dict[str, Callable[[Stage, Hit], Work]] = {
    "cut": _cut,
    "reset": _reset,
    "truncated": _tear,
    "never": _never,
    "held": _held,
    "late": _late,
    "kill": _kill,
    "kill-child": _kill_child,
    "stop": _stop,
    "restart-broker": _restart,
}
