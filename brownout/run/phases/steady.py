"""The steady state before the load of a trial: a warm-up operation is done, and the subject is idle."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from brownout.history.life import WARM, Life
from brownout.history.operation import SUCCESS, state_of
from brownout.plan.operation import Operation
from brownout.run.conductor_calls import ConductorCalls
from brownout.run.observer import Observer
from brownout.subject.fair import FairTime
from brownout.subject.subject import Subject
from brownout.subject.waiting import NeverHappened
from brownout.workload.clients import Clients

READY = 20.0  # the seconds that each step to the steady state may take
IDLE_FOR = 0.02  # seconds without a request after which the subject is idle
# if processes waited for a CPU for this many seconds, a failed warm-up proves nothing about the application
STARVED = 0.2
NAP = 0.004  # seconds between two looks at the subject


@dataclass
class Steady:
    """Brings the subject to the steady state. Raises NeverHappened when a step takes more than READY seconds."""

    subject: Subject
    observer: Observer
    clients: Clients
    conductor_calls: ConductorCalls
    fair: FairTime
    life: Life
    workers: Sequence[str]
    queue: str

    def reach(self, warm: Operation, *, fresh: bool) -> None:
        """Run the operation `warm` and wait until the subject is idle; if `fresh` is true, also start a new client
        process."""
        self._until(lambda: self.conductor_calls.consume(self.workers, self.queue), "the workers consume")
        self._warm(warm)
        self._until(self._drained, "the message of the warm-up is acknowledged")
        self._until_idle()
        if others := self.workers[1:]:
            self.conductor_calls.put_aside(others)
            self._until(
                lambda: not any(self.conductor_calls.consume([worker], self.queue) for worker in others),
                "only one worker waits for messages",
            )
        if fresh:
            self.subject.renew_caller()
            self._until(lambda: self.subject.caller is not None and self.subject.caller.ready, "the client is ready")

    def _warm(self, warm: Operation) -> None:
        call = threading.Thread(
            target=self.clients.call, args=(warm, WARM, 0, time.monotonic_ns()), name="warm-up", daemon=True
        )
        call.start()

        self._until(lambda: self.life.told_of(WARM) is not None, "the warm-up ends", look=True)
        event = self.life.told_of(WARM)
        assert event
        if event.kind != "read" or state_of(event) not in SUCCESS:
            how = f"the warm-up failed: {event.kind} {dict(event.data)}"
            if self.fair.starved > STARVED:  # on a busy machine the application's own time limits may expire
                raise NeverHappened(f"{how}; the subject's processes waited {self.fair.starved:.2f} s for a CPU")
            raise RuntimeError(how)

    def _drained(self) -> bool:
        sample = self.observer.sample(changes=True)
        return sample.kind == "sample" and not any((*sample.data["queues"].values(), sample.data["unacked"]))

    def _until_idle(self) -> None:
        """Wait until the subject has sent no request to Redis for IDLE_FOR seconds."""
        latest, since = -1, self.fair.look()

        def idle() -> bool:
            nonlocal latest, since
            newest = self.conductor_calls.idle_since()
            if newest != latest or not self.conductor_calls.consume(self.workers, self.queue):
                latest, since = newest, self.fair.look()
            return self.fair.look() - since > IDLE_FOR

        self._until(idle, "the system is idle")

    def _until(self, condition: Callable[[], bool], what: str, *, look: bool = False) -> None:
        give_up = self.fair.look() + READY
        while True:
            if look:
                self.observer.look()
            if condition():
                return
            begun = time.monotonic()
            time.sleep(NAP)
            if self.fair.look(max(0.0, time.monotonic() - begun - NAP)) > give_up:
                raise NeverHappened(f"still not true after {READY:g} s: {what}\n{self.subject.tails()}")
