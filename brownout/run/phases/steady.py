"""The steady state before the load of a trial: a warm-up operation is done, and the subject is idle."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass

from brownout.history.event import Event
from brownout.history.layout import UNACKED
from brownout.history.life import WARM, Life
from brownout.history.operation import SUCCESS, state_of
from brownout.plan.operation import Call, Http, Operation
from brownout.run.conductor_calls import ConductorCalls
from brownout.run.observer import Observer
from brownout.subject.application import Unusable
from brownout.subject.fair import FairTime
from brownout.subject.subject import Subject
from brownout.subject.waiting import NeverHappened
from brownout.workload.clients import Clients

MISROUTED = 0.5  # seconds after which a message in a queue that no worker reads stays there
ENDED = "ended"
#: Failures that a process without a CPU may have, although the application is right. A pool process that ended with an
#: exit code ended by itself.
DOUBTFUL = re.compile(r"Time|Lost(?!.*exitcode [1-9])|Connection|Operational|its state is|answered 5")
LONGER = "wait longer with --warm-up"
READ_IT = "start the worker with -Q, or give --queue"
IDLE_FOR = 0.02  # Seconds without a request after which the subject is idle.
# If processes waited for a CPU for this many seconds, a failed warm-up proves nothing about the application.
STARVED = 0.2
NAP = 0.004  # seconds between two looks at the subject


@dataclass
class Steady:
    """Brings the subject to the steady state. Raises NeverHappened when a step takes more than `patience` seconds."""

    subject: Subject
    observer: Observer
    clients: Clients
    conductor_calls: ConductorCalls
    fair: FairTime
    life: Life
    workers: Sequence[str]
    queues: Sequence[str]
    patience: float
    took: float = 0.0  # how long (seconds, without waits for a CPU) the warm-up took

    @property
    def queue(self) -> str:
        """A queue that every worker reads."""
        return self.queues[0]

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

        begun = self.fair.look()
        with suppress(NeverHappened):
            self._until(lambda: bool(self._end_of(warm, begun)), f"{warm} ends", look=True)
        self.took = self.fair.look() - begun
        end = self._end_of(warm, begun)
        if end == ENDED:
            return
        why = end or f"{warm} did not end within {self.patience:g} s without a fault; {LONGER} {3 * self.patience:g}"
        # On a busy machine the application's own time limits may expire, although the application is right. The limit
        # `patience` is counted without the time in which processes waited for a CPU.
        if end and self.fair.starved > STARVED and DOUBTFUL.search(end):
            raise NeverHappened(f"{why}; the subject's processes waited {self.fair.starved:.2f} s for a CPU")
        raise Unusable(why)

    def _end_of(self, warm: Operation, begun: float) -> str:
        """Return the state of the warm-up that began at `begun`, which is ENDED, or a text that says what is wrong, or
        empty while the warm-up goes on."""
        reads = warm.result if isinstance(warm, Call) else self.subject.application.status is not None
        if event := self.life.told_of(WARM):
            good = event.kind == "read" and state_of(event) in SUCCESS
            return ENDED if good else f"{warm} fails without a fault: {_why(event)}; {_other(warm)}"
        if not reads and self.life.done(WARM):
            return ENDED
        if not reads and (error := self.life.failure(WARM)):
            return f"{warm} fails without a fault: {error}; {_other(warm)}"
        if self.fair.look() - begun < MISROUTED:
            return ""
        self.life.sample = self.observer.sample(changes=True)
        queue = self.life.place(WARM)
        if not queue or queue in (*self.queues, UNACKED):
            return ""
        return f"{warm}: its message lies in queue {queue}, and the worker reads {', '.join(self.queues)}; {READ_IT}"

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
        give_up = self.fair.look() + self.patience
        while True:
            if look:
                self.observer.look()
            if condition():
                return
            begun = time.monotonic()
            time.sleep(NAP)
            if self.fair.look(max(0.0, time.monotonic() - begun - NAP)) > give_up:
                raise NeverHappened(f"still not true after {self.patience:g} s: {what}\n{self.subject.tails()}")


def _other(warm: Operation) -> str:
    """Return advice for the case that the warm-up operation fails."""
    return "send another request" if isinstance(warm, Http) else "--args, --kwargs and --env change what it gets"


def _why(event: Event) -> str:
    """What the client of the warm-up was told instead of success, in one line."""
    data = event.data
    if data.get("error"):
        return str(data["error"])
    if data.get("status"):
        return f"answered {data['status']}: {' '.join(str(data.get('body', '')).split())[:200]}"
    return f"its state is {data.get('state')}: {data.get('result')}"
