"""Watches one operation until its outcome cannot change any more. The recorded events show that the outcome is final;
if they do not show it, deadlines end the wait."""

from __future__ import annotations

import json
import threading
import time
import uuid
from collections.abc import Callable, Collection
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from redis.exceptions import RedisError

from brownout.history.event import Event
from brownout.history.life import OPERATION, PROBE, Life
from brownout.plan.operation import Http, Operation, Tick
from brownout.plan.settle import Settle
from brownout.subject.fair import FairTime
from brownout.workload.clients import Clients

# seconds; a state in which all work is done must last this long, because a message that moves is in no queue for a
# moment
SURE = 0.08
QUIET = 0.25  # After so many seconds without any change the operation counts as finished, or a probe is sent.
LOOK = 0.02  # Seconds between two looks at the state.
State = tuple[Any, ...]  # The state of all that can still change; it is compared with the next look's.


@dataclass(frozen=True)
class OnWire:
    """The state of the Redis traffic at one moment."""

    holds: bool  # Whether a message is only in a worker's memory: delivered and not yet registered as unacked.
    polled: dict[str, float]  # Maps a network edge to the time (s, monotonic) of its newest BRPOP.
    ticked: bool  # Whether Celery's beat has sent a request to Redis.
    struck: int  # The number of faults that have struck so far.


class Settling:
    """Decides when a trial is over: the caller calls `over()` again and again until it returns True.

    The function `look` takes a sample of the broker. The functions `born` and `killed` return the time (seconds,
    monotonic) at which a worker was started, and at which a fault killed it. `probing(True)` is called before a probe
    (a test task) is sent. `probing(False)` is called when a fault begins after a probe was sent: the fault may have
    struck the probe, so the probe proves nothing.
    """

    def __init__(
        self,
        settle: Settle,
        operation: Operation,
        life: Life,
        clients: Clients,
        fair: FairTime,
        *,
        faulted: bool,
        workers: Collection[str],
        wire: Callable[[], OnWire],
        active: Callable[[], bool],
        look: Callable[[], Event],
        push: Callable[[str], bool],
        born: Callable[[str], float],
        killed: Callable[[str], float],
        probing: Callable[[bool], None] = lambda _: None,
    ) -> None:
        self._settle, self._operation, self.life, self._clients, self.fair = settle, operation, life, clients, fair
        self._faulted, self._workers = faulted, tuple(workers)
        self._wire, self._active, self._sample, self._push = wire, active, look, push
        self._probing, self._born, self._killed = probing, born, killed
        self._state: State = ()
        self._since = self.fair.look()  # the time (s, without waits for a CPU) at which the state last changed
        self._give_up = self._since + settle.limit
        self._accepted = 0.0  # the time (s, without waits for a CPU) at which the operation was accepted, or 0
        self._next = 0.0
        self._probes = 0
        self._probe = ""  # Task id or key of the newest probe; empty while no probe is valid.
        # The time (s, without waits for a CPU) from which on a worker could have taken the probe.
        self._probed_since = 0.0
        self._probed_at = 0.0  # The time (s, monotonic) at which the probe was sent.
        self._struck = 0  # The number of faults that had struck when the probe was sent.
        self.on_wire = wire()

    def over(self) -> bool:
        """Look at the state of the system, at most once in LOOK seconds. Returns True when the outcome cannot change
        any more, or when the time limit of the trial is reached."""
        at = time.monotonic()
        if at < self._next:
            return False
        late = max(0.0, at - self._next - LOOK) if self._next else 0.0
        self._next = at + LOOK
        now = self.fair.look(late)
        self._lose_patience(now)
        held = self.on_wire.holds
        self.on_wire = self._wire()
        if self._probe and self.on_wire.struck > self._struck:
            self._probe = ""
            self._probing(False)
        newest = self._newest()
        busy = held or self.on_wire.holds or self._active()
        if newest != self._state or busy:
            self._state, self._since = newest, now
        still = now - self._since
        good = self._good() and still > SURE
        if now > self._give_up:
            return True
        if not self._faulted:
            return good
        if self._active():
            return False
        settled = self._settled(still)
        if not self._probe:
            if good or (settled and self.on_wire.struck):
                self._send_probe(now)
            return False
        return self._probed(now) and (good or (settled and self._over(still)))

    def _newest(self) -> State:
        """Return the present state of the system. When no sample of the broker could be taken, the state gets an
        element that is always different, so that the trial does not end yet."""
        life = self.life
        if self.on_wire.ticked and life.answered == "waiting" and isinstance(self._operation, Tick):
            self._clients.tick(OPERATION)
        if self._sample().kind != "sample":
            return (time.monotonic(),)
        left = tuple(sorted(life.left.items()))
        done = bool(self._probe) and life.done(self._probe)
        effects, struck = tuple(sorted(life.effects.items())), self.on_wire.struck
        return left, effects, life.answered, life.told, done, len(life.exits), struck

    def _good(self) -> bool:
        life = self.life
        ended = life.told in ("read", "left") and life.answered != "waiting"
        return len(self._state) > 1 and not life.left and not life.missing and ended

    def _settled(self, still: float) -> bool:
        """Whether the state of the system has been the same for long enough. While a task runs, there may be no event
        for another `held` seconds."""
        runs = any(_lives(event.pid) for event in self.life.running.values())
        return still > (self._settle.held + QUIET if runs else QUIET)

    def _over(self, still: float) -> bool:
        """Whether it is certain that more waiting cannot change the outcome."""
        life, settle = self.life, self._settle
        left = bool(life.left) or len(self._state) < 2
        if (left and settle.recover) or (life.missing and settle.republished):
            # wait, because the broker may deliver the message again, or the application may publish it again
            return still > settle.still
        if life.missing and (left or life.answered != "waiting"):
            return True  # The operation is lost or stuck, and no answer to the caller can change that.
        # There is nothing to wait for: a caller whose request was refused asks for no result.
        return life.answered == "refused" or (life.answered != "waiting" and life.told != "waiting")

    def _lose_patience(self, now: float) -> None:
        """End the caller's wait for its result after `settle.result` seconds; time in which processes waited for a CPU
        does not count.

        For an HTTP client this limit does not apply: it asks for the status until the trial ends.
        """
        life = self.life
        if isinstance(self._operation, Http) or life.answered != "accepted" or life.told != "waiting":
            return
        self._accepted = self._accepted or now
        if now - self._accepted > self._settle.result:
            self._clients.give_up(OPERATION, f"no result within {self._settle.result:g} s")

    # --- the probe, which is a task that shows whether a worker consumes

    def _send_probe(self, now: float) -> None:
        if any(self._killed(worker) > self._born(worker) for worker in self._workers):
            return  # a BRPOP of a killed worker may still wait at the server; it would take the probe
        self._probes += 1
        self._struck = self.on_wire.struck
        self._probing(True)
        if isinstance(self._operation, Http):
            self._probe = f"{PROBE}-{self._probes}"
            send = threading.Thread(target=self._ask, args=(self._operation, self._probe), name="probe", daemon=True)
            send.start()
        else:
            self._probe = str(uuid.uuid4())
            if not self._push(self._probe):
                self._probe = ""
                self._probing(False)
                return
        self._probed_since, self._probed_at = now, time.monotonic()

    def _ask(self, operation: Http, key: str) -> None:
        with suppress(RuntimeError):  # this error is expected: the probe's client is closed, because the trial is over
            self._clients.call(operation, key, 0, time.monotonic_ns())

    def _probed(self, now: float) -> bool:
        """Whether the probe (a test task) is done, or `settle.probe` seconds have passed in which every worker could
        have taken the probe.

        The time limit `settle.probe` starts when every worker has asked for messages, because a worker that was
        restarted needs some time.
        """
        if self.life.failed(self._probe):  # the API did not accept the probe (a test task)
            self._send_probe(now)
        if any(self.on_wire.polled.get(f"{worker}->broker", 0.0) < self._born(worker) for worker in self._workers):
            self._probed_since = now
        return self.consuming or now - self._probed_since > self._settle.probe

    @property
    def consuming(self) -> bool:
        """Whether a worker ran the probe (a test task) and, if there are several workers, every worker asked for
        messages since then.

        When the trial ended at its time limit, it does not count as proven that the workers take tasks.
        """
        if not self._faulted:
            return True
        taken = bool(self._probe) and self.life.done(self._probe)
        return taken and not self._idle()

    def _idle(self) -> list[str]:
        """The workers that have not asked for messages since the probe was sent; empty when there is only one
        worker."""
        polled = self.on_wire.polled
        if len(self._workers) < 2:
            return []
        return [worker for worker in self._workers if polled.get(f"{worker}->broker", 0.0) < self._probed_at]

    @property
    def silence(self) -> str:
        """A sentence that says why it counts as proven that the workers take no tasks."""
        if not self._probe:
            return "no probe could be sent"
        if not self.life.done(self._probe):
            return f"a probe task, sent when nothing changed any more, was not done within {self._settle.probe:g} s"
        return f"{' and '.join(self._idle())} did not ask for messages after a probe was sent"


def _lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[0] not in (b"Z", b"X")
    except OSError:
        return False


def push_copy(client: Any, raw: dict[str, Any], old: str, new: str, queue: str) -> bool:
    """Put a copy of a task's message into Redis on a direct connection; the copy has the task id `new` instead of
    `old`. Return False when Redis refuses the command."""
    copy = json.loads(json.dumps(raw).replace(old, new))
    copy["properties"]["delivery_tag"] = f"probe-{new}"
    try:
        client.lpush(queue, json.dumps(copy))
    except RedisError:
        return False
    return True
