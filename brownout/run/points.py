"""Watches the points (Redis requests and replies) for which a plan waits: records that a point was reached, and holds
the message back until the fault has struck."""

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
    """Watches the points (Redis requests and replies) of one trial. Call `direct` for each network edge before a client
    connects to it, and `arm` when the load begins."""

    def __init__(
        self, wire: Wire, plain: Callable[[bytes], bytes] | None = None, conductor: Conductor | None = None
    ) -> None:
        self._wire, self._plain = wire, plain
        self.conductor = conductor or Conductor(handshakes=True, naming=Naming(timed=False))
        # this `threading.Event` is set when the trial's thread must begin a fault immediately
        self.woken = threading.Event()
        self._striking = 0  # the messages that are held for a fault; while a message is held, no other request passes

    @classmethod
    def of(cls, plan: Plan, wire: AnyWire, application: Application, root: Path) -> Points | None:
        """Return the object that watches the fault points of a plan, or None when the plan waits for no fault point.
        Raises LookupError when the network proxy is not the built-in network proxy."""
        places = [trigger.place for trigger in plan.triggers if trigger.place]
        if not places:
            return None
        if not isinstance(wire, Wire):
            raise LookupError(f"{places[0]} needs the builtin wire; the wire of this trial is {wire.kind}")
        plain = None
        # if the layout of the keys is not known, the names of fault points contain the keys as they are in Redis
        with suppress(Unreadable, ValueError):
            plain = Layout.of(surface(application, root).layout).plain
        return cls(wire, plain).waiting_for(plan)

    def waiting_for(self, plan: Plan) -> Self:
        """For a load that begins at a fault point: record in the history when the point is reached."""
        for load in plan.load:
            if load.when is not None and load.when.place:
                self.tell(load.when.place)
        return self

    def direct(self, edge: AnyEdge) -> None:
        """From now on, let the conductor see all messages that pass on this network edge."""
        assert isinstance(edge, Edge)
        edge.direct(self.conductor, self._plain)

    def arm(self) -> None:
        """Start to count the points (Redis requests and replies)."""
        self._wire.run(self.conductor.arm)

    def close(self) -> None:
        """Stop waiting for fault points; from now on no message is held back for a fault."""
        self._wire.run(self.conductor.forget)

    def tell(self, place: Place) -> None:
        """Record in the history when a request reaches this place; the message is not held back."""

        def reached(hit: Hit) -> bool:
            self._record(place, hit)
            return False

        self._wire.run(lambda: self.conductor.watch(Watch(place, reached, strikes=False)))

    def expect(self, place: Place, strike: Callable[[Hit], bool], ready: Callable[[], bool] = lambda: True) -> None:
        """When a request reaches the place, and `ready()` is true, record this in the history and call `strike`.

        The function `strike` returns whether the message is still held back. The functions `ready` and `strike` run on
        the network proxy's event loop.
        """

        def reached(hit: Hit) -> bool:
            self._record(place, hit)
            return strike(hit)

        self._wire.run(lambda: self.conductor.watch(Watch(place, reached, ready)))

    def _record(self, place: Place, hit: Hit) -> None:
        where = {"edge": place.edge, "command": place.command, "nth": place.nth, "moment": place.moment}
        self._wire.tell(POINT, {**where, "reached": hit.point.full})

    def missed(self, place: Place) -> str:
        """Return a sentence that says why no fault struck at this place in the Redis traffic."""
        return self._wire.run(lambda: place.missed(self.conductor.reached))

    # --- holding a message while a fault strikes

    def keep(self) -> None:
        """Hold all requests back until `release` is called, because a fault will strike a process; this runs on the
        network proxy's event loop."""
        self._striking += 1
        self.conductor.freeze()
        self.woken.set()

    def release(self, hit: Hit) -> None:
        """After the fault has begun, let the held message pass, unless its connection has ended together with a killed
        process."""

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
