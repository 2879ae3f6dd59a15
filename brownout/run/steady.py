"""Before the load of a trial that settles by evidence: one operation is done, and the subject is idle."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from brownout.history.life import WARM, Life
from brownout.history.operation import SUCCESS, state_of
from brownout.plan.operation import Operation
from brownout.run.conducted import Conducted
from brownout.run.looking import Looking
from brownout.subject.fair import FairTime
from brownout.subject.subject import Subject
from brownout.subject.waiting import NeverHappened
from brownout.workload.clients import Clients

READY = 20.0  # s for each step
IDLE_FOR = 0.02  # s without a request
STARVED = 0.2  # s without a CPU; then a warm-up that failed proves nothing about the application
NAP = 0.004  # s between two looks


@dataclass
class Steady:
    """Carries the steps out, one after the other. Raises NeverHappened when one takes longer than READY."""

    subject: Subject
    looking: Looking
    clients: Clients
    conducted: Conducted
    fair: FairTime
    life: Life
    workers: Sequence[str]
    queue: str

    def reach(self, warm: Operation, *, fresh: bool) -> None:
        """Send `warm` and wait until nothing of it is left; with `fresh`, another client process takes over then."""
        self._until(lambda: self.conducted.consume(self.workers, self.queue), "the workers consume")
        self._warm(warm)
        self._until(self._drained, "the message of the warm-up is acknowledged")
        self._until_idle()
        if others := self.workers[1:]:
            self.conducted.put_aside(others)
            self._until(
                lambda: not any(self.conducted.consume([worker], self.queue) for worker in others), "one consumes"
            )
        if fresh:
            self.subject.renew_caller()
            self._until(lambda: self.subject.caller is not None and self.subject.caller.ready, "the client is ready")

    def _warm(self, warm: Operation) -> None:
        call = threading.Thread(
            target=self.clients.call, args=(warm, WARM, 0, time.monotonic_ns()), name="warm-up", daemon=True
        )
        call.start()

        def told() -> bool:
            return self.life.told_of(WARM) is not None

        self._until(told, "the warm-up ends", look=True)
        event = self.life.told_of(WARM)
        assert event
        if event.kind != "read" or state_of(event) not in SUCCESS:
            how = f"the warm-up failed: {event.kind} {dict(event.data)}"
            if self.fair.starved > STARVED:  # the application's own time limits do not know of a busy machine
                raise NeverHappened(f"{how}; its processes waited {self.fair.starved:.2f} s for a CPU")
            raise RuntimeError(how)

    def _drained(self) -> bool:
        sample = self.looking.sample(changes=True)
        return sample.kind == "sample" and not any((*sample.data["queues"].values(), sample.data["unacked"]))

    def _until_idle(self) -> None:
        """Until no request has come for IDLE_FOR."""
        latest, since = -1, self.fair.look()

        def idle() -> bool:
            nonlocal latest, since
            newest = self.conducted.idle_since()
            if newest != latest or not self.conducted.consume(self.workers, self.queue):
                latest, since = newest, self.fair.look()
            return self.fair.look() - since > IDLE_FOR

        self._until(idle, "the system is idle")

    def _until(self, condition: Callable[[], bool], what: str, *, look: bool = False) -> None:
        give_up = self.fair.look() + READY
        while True:
            if look:
                self.looking.look()
            if condition():
                return
            begun = time.monotonic()
            time.sleep(NAP)
            if self.fair.look(max(0.0, time.monotonic() - begun - NAP)) > give_up:
                raise NeverHappened(f"not within {READY:g} s: {what}\n{self.subject.tails()}")
