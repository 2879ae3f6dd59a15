"""The points of the wire that a plan waits for: watched, told in the history, and held until a fault has struck."""

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
    """One trial's. Use `direct` on each edge to Redis before anything connects, and `arm` when the load begins."""

    def __init__(
        self, wire: Wire, plain: Callable[[bytes], bytes] | None = None, conductor: Conductor | None = None
    ) -> None:
        self._wire, self._plain = wire, plain
        self.conductor = conductor or Conductor(handshakes=True, naming=Naming(timed=False))
        self.woken = threading.Event()  # a fault is to strike now, on another thread than the wire's
        self._striking = 0  # hits that wait for their fault; while there are any, no other request passes

    @classmethod
    def of(cls, plan: Plan, wire: AnyWire, application: Application, root: Path) -> Points | None:
        """Those of a plan; None when it waits for none. LookupError when this wire does not know points."""
        places = [trigger.place for trigger in plan.triggers if trigger.place]
        if not places:
            return None
        if not isinstance(wire, Wire):
            raise LookupError(f"{places[0]} needs the builtin wire, this is {wire.kind}")
        plain = None
        with suppress(Unreadable, ValueError):  # keys are then named as they are
            plain = Layout.of(surface(application, root).layout).plain
        return cls(wire, plain).waiting_for(plan)

    def waiting_for(self, plan: Plan) -> Self:
        """Tell the history of the points on which loads begin."""
        for load in plan.load:
            if load.when is not None and load.when.place:
                self.tell(load.when.place)
        return self

    def direct(self, edge: AnyEdge) -> None:
        """Show the conductor what passes this edge from now on."""
        assert isinstance(edge, Edge)
        edge.direct(self.conductor, self._plain)

    def arm(self) -> None:
        """Count from here on."""
        self._wire.run(self.conductor.arm)

    def close(self) -> None:
        """Wait for no point any more: nothing is kept from here on."""
        self._wire.run(self.conductor.forget)

    def tell(self, place: Place) -> None:
        """Tell the history when a place is reached; its message passes."""

        def reached(hit: Hit) -> bool:
            self._told(place, hit)
            return False

        self._wire.run(lambda: self.conductor.watch(Watch(place, reached, strikes=False)))

    def expect(self, place: Place, strike: Callable[[Hit], bool], ready: Callable[[], bool] = lambda: True) -> None:
        """Tell the history when a place is reached while it is `ready`, then call `strike`: all on the wire's loop.

        `strike` answers whether the message stays kept.
        """

        def reached(hit: Hit) -> bool:
            self._told(place, hit)
            return strike(hit)

        self._wire.run(lambda: self.conductor.watch(Watch(place, reached, ready)))

    def _told(self, place: Place, hit: Hit) -> None:
        where = {"edge": place.edge, "command": place.command, "nth": place.nth, "moment": place.moment}
        self._wire.tell(POINT, {**where, "reached": hit.point.full})

    def missed(self, place: Place) -> str:
        """Why nothing was struck at this place."""
        return self._wire.run(lambda: place.missed(self.conductor.reached))

    # --- a message that is kept while a fault strikes

    def keep(self) -> None:
        """On the loop: a fault is about to strike elsewhere, so no request passes until `release`."""
        self._striking += 1
        self.conductor.freeze()
        self.woken.set()

    def release(self, hit: Hit) -> None:
        """The fault has struck: the message goes on, unless its connection has ended with a process that was killed."""

        def go() -> None:
            hit.let()
            self._striking -= 1
            if not self._striking:
                self.conductor.thaw()

        self._wire.run(go)


def gone(pids: frozenset[int]) -> bool:
    """Whether all of these have ended."""
    for pid in pids:
        with suppress(psutil.Error):
            if psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
                return False
    return True
