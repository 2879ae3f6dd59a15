"""Carries a schedule of faults out: strikes when a trigger fires, asks for evidence, heals."""

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
UNDER_WAY = 0.005  # seconds for replies to earlier requests to arrive before a fault kills the server
# ns; a fault that strikes later after its point may strike at a later moment of the task
IN_TIME = 20_000_000
MEETS = 10.0  # seconds; a fault that heals by the clock heals after this time even if it was not seen to act


@dataclass
class _Alarm:
    """Waits until a trigger fires. `due` (ns) is set when the trigger's event comes, or at once for a trigger by the
    clock."""

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
    """One injection and its state: before its strike, active, or healed."""

    injection: Injection
    id: str
    when: _Alarm
    until: _Alarm | None = None
    strike: Strike | None = None
    reached: int = 0  # the time (ns) at which the injection's point was reached, or 0; set on the wire's event loop
    late: int = 0  # the time (ns) at which the fault struck, if that was later than IN_TIME after its point; else 0
    effect: int = 0  # the time (ns) at which a task first took effect after the point; else 0
    acted: bool = False
    healed: bool = False
    forced: bool = False  # healed at the end of the load, because the trigger for its healing never fired


class Nemesis:
    """Strikes and heals the faults of a schedule. `see` takes the new events; `act` must be called often.

    `points` reports, on the wire's event loop, when a point of the wire is reached. A fault that cannot heal raises an
    exception.
    """

    def __init__(
        self, injections: Iterable[Injection], subject: Subject, recorder: Recorder, points: Points | None = None
    ) -> None:
        self._subject, self._recorder, self._points = subject, recorder, points
        # The wire's event loop adds to this queue
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
        """Pass new events to the triggers."""
        for event in events:
            for armed in self._armed:
                armed.when.see(event)
                if armed.until:
                    armed.until.see(event)
                if event.kind == "effect" and 0 < armed.reached < event.at:
                    armed.effect = min(armed.effect or event.at, event.at)

    def act(self) -> None:
        """Strike faults that are due, ask active faults for evidence, heal faults whose healing is due."""
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
        """Heal all active faults, the newest first. A fault that has not struck before `heal` is called never
        strikes."""
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
        """Whether a fault that has struck still waits for the trigger of its healing."""
        return any(armed.strike and armed.until and not armed.healed for armed in self._armed)

    def _in_time(self, armed: _Armed) -> bool:
        """Whether the injection's healing is due.

        When the clock heals a fault, its time counts from the moment when the fault was first seen to act, because on a
        slow machine the requests that the fault should hit come late. A fault that never acts heals MEETS seconds
        later.
        """
        assert armed.until
        if not armed.until.rings():
            return False
        return armed.acted or armed.until.trigger.kind is not None or now() >= armed.until.due_at + int(MEETS * NS)

    @property
    def active(self) -> bool:
        """Whether a fault still waits for its healing, or a message is held until its fault has struck."""
        return self.pending or bool(self._hits)

    @property
    def timed(self) -> bool:
        """Whether a fault that has struck will be healed by the clock, which needs no further event."""
        return any(armed.strike and armed.until and armed.until.trigger.kind is None and not armed.healed
                   for armed in self._armed)  # fmt: skip

    @property
    def waiting(self) -> bool:
        """Whether there is an injection whose fault has not struck yet."""
        return any(armed.strike is None for armed in self._armed)

    def missed(self, *, then: bool = True) -> list[str]:
        """Return a sentence for each trigger that never fired: the awaited event, and the events that came instead.

        With `then=False`, a fault that should follow another fault is left out when the other fault has struck.
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
        """Return a sentence for each fault that struck and was not seen to act, because a fault that does not act
        proves nothing."""
        texts = ((f"{armed.injection.fault} on {armed.injection.on}", n) for n, armed in enumerate(self._armed, 1))
        named = zip(told_apart(texts), self._armed, strict=True)
        return [f"{name} was never seen to act" for name, armed in named if armed.strike and not armed.acted]

    def overtaken(self) -> dict[str, float]:
        """Return, for each fault that struck a worker after the task took effect, a sentence and the delay in seconds.

        While a message is held, no other message passes on the wire, but the task's body goes on. On a busy machine the
        fault may therefore strike at a later moment of the task's life than its point says.
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
        """Strike the message at a point, or hold the message until `act` has struck; runs on the wire's loop."""
        armed.reached = now()
        struck: Strike | Exception | None = None
        if armed.injection.at_its_point:
            self._record("fault-start", armed, target=armed.injection.on, point=hit.point.full, moment=hit.moment)
            try:
                struck = strike_at(hit, armed.injection.fault)
            except Exception as error:  # an error of brownout itself, which `act` raises later
                struck = error
        elif self._points:
            self._points.keep()
        self._hits.append((armed, hit, struck))
        return not isinstance(struck, Exception)

    def _take(self, armed: _Armed, hit: Hit, struck: Strike | Exception | None) -> None:
        """Handle, in the trial's thread, a point that was reached on the wire's event loop."""
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
        """Strike while the message is held, then wait until the killed processes and their connections are gone."""
        if armed.injection.on == "broker":
            time.sleep(UNDER_WAY)
        self._strike(armed, point=hit.point.full, moment=hit.moment)
        if armed.strike and (killed := armed.strike.killed):
            eventually(lambda: gone(killed), within=PATIENT, what=f"processes {sorted(killed)} have ended")

    def _strike(self, armed: _Armed, **data: Any) -> None:
        injection = armed.injection
        # The start is recorded before the strike, so that everything that the fault causes lies between its start and
        # its stop.
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
    """Whether a fault that follows `before` may strike now; runs on the wire's loop."""
    return before is None or bool(before.reached) or before.strike is not None
