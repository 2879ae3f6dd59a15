"""Watches the points that a plan waits for: records that a point was reached, and holds its message for a fault."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Self

import psutil

from brownout.history.layout import Layout, Unreadable
from brownout.plan.plan import Plan
from brownout.plan.point import Place
from brownout.plan.trigger import POINT
from brownout.subject.application import Application, surface
from brownout.wire.interface import AnyEdge, AnyWire
from brownout.wire.redis.conductor import Conductor
from brownout.wire.redis.naming import Naming
from brownout.wire.redis.watch import Hit, Watch
from brownout.wire.tcp.edge import Edge
from brownout.wire.tcp.wire import Wire


class Points:
    """Watches the points of one trial. Call `direct` for each edge before a client connects, and `arm` when the load
    begins."""

    def __init__(
        self, wire: Wire, plain: Callable[[bytes], bytes] | None = None, conductor: Conductor | None = None
    ) -> None:
        self._wire, self._plain = wire, plain
        self.conductor = conductor or Conductor(handshakes=True, naming=Naming(timed=False))
        self.woken = threading.Event()  # this event is set when the trial's thread must strike a fault at once
        self._striking = 0  # the messages that are held for a fault; while a message is held, no other request passes

    @classmethod
    def of(cls, plan: Plan, wire: AnyWire, application: Application, root: Path) -> Points | None:
        """Return the watcher of a plan's points; None when the plan waits for no point. Raises LookupError when the
        wire is not the built-in wire."""
        places = [trigger.place for trigger in plan.triggers if trigger.place]
        if not places:
            return None
        if not isinstance(wire, Wire):
            raise LookupError(f"{places[0]} needs the builtin wire; the wire of this trial is {wire.kind}")
        plain = None
        with suppress(Unreadable, ValueError):  # without a layout, points are named by the keys in Redis
            plain = Layout.of(surface(application, root).layout).plain
        return cls(wire, plain).waiting_for(plan)

    def waiting_for(self, plan: Plan) -> Self:
        """Record in the history when a point is reached on which a load begins."""
        for load in plan.load:
            if load.when is not None and load.when.place:
                self.tell(load.when.place)
        return self

    def direct(self, edge: AnyEdge) -> None:
        """Let the conductor see all messages of this edge from now on."""
        assert isinstance(edge, Edge)
        edge.direct(self.conductor, self._plain)

    def arm(self) -> None:
        """Start to count the points on the wire."""
        self._wire.run(self.conductor.arm)

    def close(self) -> None:
        """Stop waiting for points; the wire holds no message for a fault any more."""
        self._wire.run(self.conductor.forget)

    def tell(self, place: Place) -> None:
        """Record in the history when a place is reached; the message at the place is not held."""

        def reached(hit: Hit) -> bool:
            self._record(place, hit)
            return False

        self._wire.run(lambda: self.conductor.watch(Watch(place, reached, strikes=False)))

    def expect(self, place: Place, strike: Callable[[Hit], bool], ready: Callable[[], bool] = lambda: True) -> None:
        """When a place is reached and `ready()` is true, record that in the history and call `strike`.

        `strike` returns whether the message stays held. `ready` and `strike` run on the wire's event loop.
        """

        def reached(hit: Hit) -> bool:
            self._record(place, hit)
            return strike(hit)

        self._wire.run(lambda: self.conductor.watch(Watch(place, reached, ready)))

    def _record(self, place: Place, hit: Hit) -> None:
        where = {"edge": place.edge, "command": place.command, "nth": place.nth, "moment": place.moment}
        self._wire.tell(POINT, {**where, "reached": hit.point.full})

    def missed(self, place: Place) -> str:
        """Return the reason why no fault struck at this place."""
        return self._wire.run(lambda: place.missed(self.conductor.reached))

    # --- holding a message while a fault strikes

    def keep(self) -> None:
        """Hold all requests until `release`, because a fault will strike a process; this runs on the wire's event
        loop."""
        self._striking += 1
        self.conductor.freeze()
        self.woken.set()

    def release(self, hit: Hit) -> None:
        """Let the held message pass after its fault struck, unless its connection ended with a killed process."""

        def go() -> None:
            hit.let()
            self._striking -= 1
            if not self._striking:
                self.conductor.thaw()

        self._wire.run(go)


def gone(pids: frozenset[int]) -> bool:
    """Whether all processes with these pids have ended."""
    for pid in pids:
        with suppress(psutil.Error):
            if psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
                return False
    return True
