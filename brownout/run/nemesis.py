"""Carries out a schedule of faults: begins a fault when its trigger fires, looks for an effect of the fault, and heals
it."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from brownout.faults.lasting import PATIENT
from brownout.faults.strike import Strike, strike, strike_at
from brownout.history.event import Event
from brownout.plan.plan import Injection, told_apart
from brownout.plan.trigger import Count, Trigger
from brownout.probes.line import now
from brownout.probes.recorder import Recorder
from brownout.run.points import Points, gone
from brownout.subject.subject import Subject
from brownout.subject.waiting import eventually
from brownout.wire.redis.watch import Hit

NS = 1_000_000_000
UNDER_WAY = 0.005  # Seconds; before a fault kills the server, replies to earlier requests get this time to arrive.
# Nanoseconds; when a fault begins later than this after its fault point was reached, the task may have gone on.
IN_TIME = 20_000_000
MEETS = 10.0  # seconds; a timed fault without a visible effect heals this much later


@dataclass
class _Alarm:
    """Waits until a trigger fires. `due` (ns) is set when the trigger's event comes; for a trigger that is a time, it
    is set at the start."""

    trigger: Trigger
    since: int
    due: int | None = None
    count: Count = field(init=False)

    def __post_init__(self) -> None:
        self.count = Count(self.trigger)
        if self.trigger.kind is None:
            self.due = self.since + int(self.trigger.delay * NS)

    def see(self, event: Event) -> None:
        if self.due is None and event.at >= self.since and self.count.see(event):
            self.due = event.at + int(self.trigger.delay * NS)

    @property
    def due_at(self) -> int:
        """The time (ns, monotonic) at which the trigger fires; 0 while the trigger's event has not come."""
        return self.due or 0

    def rings(self) -> bool:
        return self.due is not None and now() >= self.due


@dataclass
class _Armed:
    """One injection (a planned fault) and its state: not begun, active, or healed."""

    injection: Injection
    id: str
    when: _Alarm
    until: _Alarm | None = None
    strike: Strike | None = None
    reached: int = 0  # The time (ns) at which the injection's fault point was reached; 0 before that.
    # The time (ns) at which the fault began, if that was more than IN_TIME after its fault point was reached; else 0.
    late: int = 0
    effect: int = 0  # the time (ns) at which a task first took effect after the fault point was reached; 0 if none did
    acted: bool = False
    healed: bool = False
    # the fault heals at the end of the load, because the trigger at which it should heal never fired
    forced: bool = False


class Nemesis:
    """Begins and heals the faults of a schedule. The method `see` gets the new events of the history; The method `act`
    begins and heals faults; it must be called often.

    `points` reports, on the network proxy's event loop, when a point (a Redis request or its reply) is reached. A fault
    that cannot heal raises an exception.
    """

    def __init__(
        self, injections: Iterable[Injection], subject: Subject, recorder: Recorder, points: Points | None = None
    ) -> None:
        self._subject, self._recorder, self._points = subject, recorder, points
        # Code on the network proxy's event loop adds items to this queue
        self._hits: deque[tuple[_Armed, Hit, Strike | Exception | None]] = deque()
        begin = now()
        self._armed = [
            _Armed(injection, f"{injection.fault.name}@{injection.on}#{n}", _Alarm(injection.when, begin))
            for n, injection in enumerate(injections, 1)
        ]
        for n, armed in enumerate(self._armed):
            if points and (place := armed.injection.when.place):
                before = self._armed[n - 1] if armed.injection.then else None
                points.expect(place, partial(self._reached, armed), partial(_has_struck, before))

    def see(self, events: Iterable[Event]) -> None:
        """Pass new events of the history to the triggers, which wait for certain events."""
        for event in events:
            for armed in self._armed:
                armed.when.see(event)
                if armed.until:
                    armed.until.see(event)
                if event.kind == "effect" and 0 < armed.reached < event.at:
                    armed.effect = min(armed.effect or event.at, event.at)

    def act(self) -> None:
        """Begin the faults that are due, look for effects of the active faults, and heal the faults whose time to heal
        has come."""
        while self._hits:
            self._take(*self._hits.popleft())
        for armed in self._armed:
            if armed.strike is None and not armed.injection.when.place and armed.when.rings():
                self._strike(armed)
            elif armed.strike and not armed.healed:
                self._ask(armed)
                if armed.until and self._in_time(armed):
                    self._heal(armed)

    def heal(self) -> None:
        """Heal all active faults, the newest first. A fault that has not begun when `heal` is called never begins."""
        if self._points:
            self._points.close()
        while self._hits:
            armed, hit, struck = self._hits.popleft()
            if struck is not None:
                self._take(armed, hit, struck)
            elif self._points:
                self._points.release(hit)
        for armed in reversed(self._armed):
            if armed.strike and not armed.healed:
                armed.forced = armed.until is not None and not armed.until.rings()
                self._heal(armed)

    def give_up(self) -> None:
        """Record the stop of every active fault without healing it, because the subject is about to be stopped."""
        if self._points:
            self._points.close()
        self._hits.clear()
        for armed in self._armed:
            if armed.strike and not armed.healed:
                armed.healed = True
                self._record("fault-stop", armed, torn_down=True)

    @property
    def pending(self) -> bool:
        """Whether an active fault still waits for the trigger at which it heals."""
        return any(armed.strike and armed.until and not armed.healed for armed in self._armed)

    def _in_time(self, armed: _Armed) -> bool:
        """Whether it is time to heal the fault of this injection.

        When a fault heals after a time, this time counts from the first visible effect of the fault, because on a
        slow machine the requests that the fault should hit come late. A timed fault without any visible effect heals
        MEETS seconds later than planned.
        """
        assert armed.until
        if not armed.until.rings():
            return False
        return armed.acted or armed.until.trigger.kind is not None or now() >= armed.until.due_at + int(MEETS * NS)

    @property
    def active(self) -> bool:
        """Whether an active fault has not healed yet, or a message is held back until its fault has begun."""
        return self.pending or bool(self._hits)

    @property
    def timed(self) -> bool:
        """Whether an active fault will heal after a time, without any further event."""
        return any(armed.strike and armed.until and armed.until.trigger.kind is None and not armed.healed
                   for armed in self._armed)  # fmt: skip

    @property
    def waiting(self) -> bool:
        """Whether there is an injection whose fault has not struck yet."""
        return any(armed.strike is None for armed in self._armed)

    def missed(self, *, then: bool = True) -> list[str]:
        """Return a sentence for each trigger that never fired: for which event it waited, and which events came.

        If `then` is False, faults that follow a fault which has begun are left out.
        """
        texts = ((f"{armed.injection.fault} on {armed.injection.on}", n) for n, armed in enumerate(self._armed, 1))
        named = list(zip(told_apart(texts), self._armed, strict=True))
        follows = {n for n, armed in enumerate(self._armed) if armed.injection.then and self._armed[n - 1].strike}
        struck = [f"{name} never struck: {self._why(armed)}" for n, (name, armed) in enumerate(named)
                  if not armed.strike and (then or n not in follows)]  # fmt: skip
        healed = [f"{name} did not heal as planned: {armed.until.count}"
                  for name, armed in named if armed.forced and armed.until]  # fmt: skip
        return struck + healed

    @property
    def unseen(self) -> list[str]:
        """Return a sentence for each fault that has begun and had no visible effect, because such a fault proves
        nothing."""
        texts = ((f"{armed.injection.fault} on {armed.injection.on}", n) for n, armed in enumerate(self._armed, 1))
        named = zip(told_apart(texts), self._armed, strict=True)
        return [f"{name} was never seen to act" for name, armed in named if armed.strike and not armed.acted]

    def overtaken(self) -> dict[str, float]:
        """Return a sentence, and the delay in seconds, for each fault that struck a worker too late, when the task had
        already taken effect.

        While a message is held, no other message passes the network proxy, but the task's body goes on. On a busy
        machine the fault may therefore strike later in the task's life than planned.
        """
        return {
            f"{armed.injection.fault} on {armed.injection.on} struck too late, when the task had already taken effect":
            (armed.late - armed.reached) / NS
            for armed in self._armed
            if armed.injection.on.startswith("worker") and 0 < armed.effect <= armed.late
        }  # fmt: skip

    def _why(self, armed: _Armed) -> str:
        place = armed.injection.when.place
        return self._points.missed(place) if self._points and place else str(armed.when.count)

    def _reached(self, armed: _Armed, hit: Hit) -> bool:
        """Begin a fault of the message at a fault point, or hold the message back until `act` has begun the fault; this
        runs on the network proxy's event loop."""
        armed.reached = now()
        struck: Strike | Exception | None = None
        if armed.injection.at_its_point:
            self._record("fault-start", armed, target=armed.injection.on, point=hit.point.full, moment=hit.moment)
            try:
                struck = strike_at(hit, armed.injection.fault)
            except Exception as error:  # an error of brownout itself; the method `act` raises it later
                struck = error
        elif self._points:
            self._points.keep()
        self._hits.append((armed, hit, struck))
        return not isinstance(struck, Exception)

    def _take(self, armed: _Armed, hit: Hit, struck: Strike | Exception | None) -> None:
        """Handle, in the trial's thread, a fault point that was reached on the network proxy's event loop."""
        if isinstance(struck, Exception):
            raise struck
        if struck is not None:
            self._is_on(armed, struck)
        elif self._points:
            try:
                self._strike_beside(armed, hit)
            finally:
                self._points.release(hit)

    def _strike_beside(self, armed: _Armed, hit: Hit) -> None:
        """Begin the fault while the message is held back; then wait until the processes that it killed, and their
        connections, are gone."""
        if armed.injection.on == "broker":
            time.sleep(UNDER_WAY)
        self._strike(armed, point=hit.point.full, moment=hit.moment)
        if armed.strike and (killed := armed.strike.killed):
            eventually(lambda: gone(killed), within=PATIENT, what=f"processes {sorted(killed)} have ended")

    def _strike(self, armed: _Armed, **data: Any) -> None:
        injection = armed.injection
        # The start of a fault is recorded before the fault begins, so that everything that it causes lies between its
        # start and its stop.
        self._record("fault-start", armed, target=injection.on, **data)
        struck = strike(self._subject, injection.on, injection.fault)
        if armed.reached and (at := now()) - armed.reached > IN_TIME:
            armed.late = at
        self._is_on(armed, struck)

    def _is_on(self, armed: _Armed, struck: Strike) -> None:
        armed.strike, heal = struck, armed.injection.heal
        if heal:
            if self._points and heal.place:
                self._points.tell(heal.place)
            armed.until = _Alarm(heal, now())
        self._ask(armed)

    def _ask(self, armed: _Armed) -> None:
        if not armed.acted and armed.strike and (evidence := armed.strike.acted()):
            armed.acted = True
            if armed.until and armed.until.trigger.kind is None and not armed.healed:
                armed.until = _Alarm(armed.until.trigger, now())
            self._record("fault-acted", armed, evidence=evidence)

    def _heal(self, armed: _Armed) -> None:
        assert armed.strike
        armed.strike.heal()
        armed.healed = True
        self._ask(armed)
        self._record("fault-stop", armed)

    def _record(self, kind: str, armed: _Armed, **data: Any) -> None:
        self._recorder.record(kind, fault=str(armed.injection.fault), id=armed.id, **data)


def _has_struck(before: _Armed | None) -> bool:
    """Whether a fault that must come after the injection `before` may begin now; this runs on the network proxy's event
    loop."""
    return before is None or bool(before.reached) or before.strike is not None
