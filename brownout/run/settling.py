"""Watches one operation until nothing can change any more: by evidence, and by deadlines where there can be none."""

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

SURE = 0.08  # s; a message between two places is nowhere for a moment
QUIET = 0.25  # s without any change: then it is settled, or a probe is sent
LOOK = 0.02  # s between two looks at everything
State = tuple[Any, ...]  # whatever can change, as a value


@dataclass(frozen=True)
class OnWire:
    """What the wire tells at one moment."""

    holds: bool  # a message came to a worker that has not registered it yet: it is in its memory alone
    polled: dict[str, float]  # edge: when (s, monotonic) its newest BRPOP came
    ticked: bool  # beat has asked for something
    struck: int  # at how many points a fault has struck


class Settling:
    """`over()` is called again and again; it looks at everything and says whether the trial is at its end.

    `look` gives where messages lie now, None when nobody can tell. `born` and `killed` (s, monotonic) are when each
    worker was started and when a fault killed it. `probing` is told before a probe is sent (True), and when a fault has
    struck since (False): it may have struck the probe, which proves nothing then.
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
        self._since = self.fair.look()  # s of fair time, when the state last changed
        self._give_up = self._since + settle.limit
        self._accepted = 0.0  # s of fair time
        self._next = 0.0
        self._probes = 0
        self._probe = ""  # what the newest probe's task or key is
        self._probed_since = 0.0  # s of fair time
        self._probed_at = 0.0  # s on the monotonic clock
        self._struck = 0  # points at which faults had struck when it was sent
        self.on_wire = wire()

    def over(self) -> bool:
        """Look, when it is time; whether nothing can change any more, or the time is up."""
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
        """Everything that can change. One element: nobody could look into the broker, so nothing is settled."""
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
        told = life.told in ("read", "left")
        return len(self._state) > 1 and not life.left and not life.missing and told and life.answered != "waiting"

    def _settled(self, still: float) -> bool:
        """Whether nothing moves. A task body that runs in a process that lives may go on without a sign for a time."""
        runs = any(_lives(event.pid) for event in self.life.running.values())
        return still > (self._settle.held + QUIET if runs else QUIET)

    def _over(self, still: float) -> bool:
        """Whether waiting on can bring nothing more."""
        life, settle = self.life, self._settle
        left = bool(life.left) or len(self._state) < 2
        if (left and settle.recover) or (life.missing and settle.republished):
            return still > settle.still  # the broker gives it back, or the application does
        if life.missing and (left or life.answered != "waiting"):
            return True  # lost or stuck: no answer can mend it
        # Who was refused asks for no result.
        return life.answered == "refused" or (life.answered != "waiting" and life.told != "waiting")

    def _lose_patience(self, now: float) -> None:
        """A caller stops waiting for its result after `result` in fair time. An API is asked until the trial ends."""
        life = self.life
        if isinstance(self._operation, Http) or life.answered != "accepted" or life.told != "waiting":
            return
        self._accepted = self._accepted or now
        if now - self._accepted > self._settle.result:
            self._clients.give_up(OPERATION, f"no result within {self._settle.result:g} s")

    # --- the probe: does a worker consume?

    def _send_probe(self, now: float) -> None:
        if any(self._killed(worker) > self._born(worker) for worker in self._workers):
            return  # its BRPOP may still wait at the server, and take the probe
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
        with suppress(RuntimeError):  # the trial is over, and the client is closed
            self._clients.call(operation, key, 0, time.monotonic_ns())

    def _probed(self, now: float) -> bool:
        """Whether it is known. The clock starts when a worker could have taken it: a new one must come up first."""
        if self.life.failed(self._probe):  # the API was away
            self._send_probe(now)
        if any(self.on_wire.polled.get(f"{worker}->broker", 0.0) < self._born(worker) for worker in self._workers):
            self._probed_since = now
        return self.consuming or now - self._probed_since > self._settle.probe

    @property
    def consuming(self) -> bool:
        """Whether a worker took the probe, and each of several has asked for messages since it was sent.

        A limit that came first proves nothing good.
        """
        if not self._faulted:
            return True
        taken = bool(self._probe) and self.life.done(self._probe)
        return taken and not self._idle()

    def _idle(self) -> list[str]:
        """Of several workers those that have not asked for messages since the probe was sent."""
        polled = self.on_wire.polled
        if len(self._workers) < 2:
            return []
        return [worker for worker in self._workers if polled.get(f"{worker}->broker", 0.0) < self._probed_at]

    @property
    def silence(self) -> str:
        """Why nobody consumes, in words."""
        if not self._probe:
            return "no probe could be sent"
        if not self.life.done(self._probe):
            return f"a task that was sent after all had settled was not done within {self._settle.probe:g} s"
        return f"{' and '.join(self._idle())} did not ask for messages"


def _lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[0] not in (b"Z", b"X")
    except OSError:
        return False


def push_copy(client: Any, raw: dict[str, Any], old: str, new: str, queue: str) -> bool:
    """Queue a copy of a task's message under another id, past everything; False when Redis does not take it."""
    copy = json.loads(json.dumps(raw).replace(old, new))
    copy["properties"]["delivery_tag"] = f"probe-{new}"
    try:
        client.lpush(queue, json.dumps(copy))
    except RedisError:
        return False
    return True
