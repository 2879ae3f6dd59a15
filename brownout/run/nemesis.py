"""Carries a schedule of faults out: strikes on events, asks for evidence, heals."""

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
UNDER_WAY = 0.005  # s; replies to earlier requests are under way when a server is about to be killed
IN_TIME = 20_000_000  # ns; a fault that strikes so long after its point was reached may have met what comes later
MEETS = 10.0  # s; for so long a fault that heals by the clock waits to be seen to act


@dataclass
class _Alarm:
    """A trigger that is being waited for: `due` is set when its event has come, or at once for the clock."""

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
        """When it rings (ns); 0 while its event has not come."""
        return self.due or 0

    def rings(self) -> bool:
        return self.due is not None and now() >= self.due


@dataclass
class _Armed:
    """One injection on its way: waiting to strike, on, or healed."""

    injection: Injection
    id: str
    when: _Alarm
    until: _Alarm | None = None
    strike: Strike | None = None
    reached: int = 0  # when its point was (ns), 0 for not yet; set on the wire's loop
    late: int = 0  # when it struck (ns), if that was later than IN_TIME after its point
    effect: int = 0  # when a task took effect (ns), the first time after the point
    acted: bool = False
    healed: bool = False
    forced: bool = False  # healed with the load, because its own trigger never came


class Nemesis:
    """Fed with events and called often, it does what the schedule says. Faults that fail to heal raise.

    What strikes at a point of the wire is told by `points`, on the wire's loop.
    """

    def __init__(
        self, injections: Iterable[Injection], subject: Subject, recorder: Recorder, points: Points | None = None
    ) -> None:
        self._subject, self._recorder, self._points = subject, recorder, points
        self._hits: deque[tuple[_Armed, Hit, Strike | Exception | None]] = deque()  # filled on the wire's loop
        begin = now()
        self._armed = [
            _Armed(injection, f"{injection.fault.name}@{injection.on}#{n}", _Alarm(injection.when, begin))
            for n, injection in enumerate(injections, 1)
        ]
        for n, each in enumerate(self._armed):
            if points and (place := each.injection.when.place):
                before = self._armed[n - 1] if each.injection.then else None
                points.expect(place, partial(self._reached, each), partial(_has_struck, before))

    def see(self, events: Iterable[Event]) -> None:
        """Events that happened, for the triggers."""
        for event in events:
            for each in self._armed:
                each.when.see(event)
                if each.until:
                    each.until.see(event)
                if event.kind == "effect" and 0 < each.reached < event.at:
                    each.effect = min(each.effect or event.at, event.at)

    def act(self) -> None:
        """Strike, ask for evidence, or heal: whatever is due."""
        while self._hits:
            self._take(*self._hits.popleft())
        for each in self._armed:
            if each.strike is None and not each.injection.when.place and each.when.rings():
                self._strike(each)
            elif each.strike and not each.healed:
                self._ask(each)
                if each.until and self._in_time(each):
                    self._heal(each)

    def heal(self) -> None:
        """Heal everything that is on, the newest first. What has not struck by now never does."""
        if self._points:
            self._points.close()
        while self._hits:
            each, hit, struck = self._hits.popleft()
            if struck is not None:
                self._take(each, hit, struck)
            elif self._points:
                self._points.release(hit)
        for each in reversed(self._armed):
            if each.strike and not each.healed:
                each.forced = each.until is not None and not each.until.rings()
                self._heal(each)

    def give_up(self) -> None:
        """The subject is about to be taken down, and every fault with it: nothing is healed, and all of it is told."""
        if self._points:
            self._points.close()
        self._hits.clear()
        for each in self._armed:
            if each.strike and not each.healed:
                each.healed = True
                self._record("fault-stop", each, torn_down=True)

    @property
    def pending(self) -> bool:
        """Whether a fault that has struck will heal by its own trigger, and has not yet."""
        return any(each.strike and each.until and not each.healed for each in self._armed)

    def _in_time(self, each: _Armed) -> bool:
        """Whether its heal is due. By the clock, the time counts from when the fault was first seen to act.

        On a slow machine what it should hit comes late. A fault that nobody meets heals all the same, MEETS later.
        """
        assert each.until
        if not each.until.rings():
            return False
        return each.acted or each.until.trigger.kind is not None or now() >= each.until.due_at + int(MEETS * NS)

    @property
    def active(self) -> bool:
        """Whether something is still to come from a fault that has struck, or a message is kept for one."""
        return self.pending or bool(self._hits)

    @property
    def timed(self) -> bool:
        """Whether a fault that has struck will heal by the clock, which always comes."""
        return any(each.strike and each.until and each.until.trigger.kind is None and not each.healed
                   for each in self._armed)  # fmt: skip

    @property
    def waiting(self) -> bool:
        """Whether an injection has not struck yet."""
        return any(each.strike is None for each in self._armed)

    def missed(self, *, then: bool = True) -> list[str]:
        """One sentence for each trigger that never fired: what was awaited, what came instead.

        With `then=False` nothing is said of a fault that follows another one, when that has struck.
        """
        texts = ((f"{each.injection.fault} on {each.injection.on}", n) for n, each in enumerate(self._armed, 1))
        named = list(zip(told_apart(texts), self._armed, strict=True))
        follows = {n for n, each in enumerate(self._armed) if each.injection.then and self._armed[n - 1].strike}
        struck = [f"{name} never struck: {self._why(each)}" for n, (name, each) in enumerate(named)
                  if not each.strike and (then or n not in follows)]  # fmt: skip
        healed = [f"{name} did not heal as planned: {each.until.count}"
                  for name, each in named if each.forced and each.until]  # fmt: skip
        return struck + healed

    @property
    def unseen(self) -> list[str]:
        """One sentence for each fault that has struck and was not seen to act: it proves nothing."""
        texts = ((f"{each.injection.fault} on {each.injection.on}", n) for n, each in enumerate(self._armed, 1))
        named = zip(told_apart(texts), self._armed, strict=True)
        return [f"{name} was never seen to act" for name, each in named if each.strike and not each.acted]

    def overtaken(self) -> dict[str, float]:
        """How late (s) each fault struck a worker that came so long after its point that a task took effect meanwhile.

        While a message is kept nothing else passes on the wire, but the body of a task goes on. On a busy machine the
        fault then meets something else than its point promises.
        """
        return {
            f"{each.injection.fault} on {each.injection.on} struck after the task took effect, late for its point":
            (each.late - each.reached) / NS
            for each in self._armed
            if each.injection.on.startswith("worker") and 0 < each.effect <= each.late
        }  # fmt: skip

    def _why(self, each: _Armed) -> str:
        place = each.injection.when.place
        return self._points.missed(place) if self._points and place else str(each.when.count)

    def _reached(self, each: _Armed, hit: Hit) -> bool:
        """On the wire's loop: strike the message at once, or keep it until `act` has struck."""
        each.reached = now()
        struck: Strike | Exception | None = None
        if each.injection.at_its_point:
            self._record("fault-start", each, target=each.injection.on, point=hit.point.full, moment=hit.moment)
            try:
                struck = strike_at(hit, each.injection.fault)
            except Exception as wrong:  # the harness's own mistake: `act` raises it
                struck = wrong
        elif self._points:
            self._points.keep()
        self._hits.append((each, hit, struck))
        return not isinstance(struck, Exception)

    def _take(self, each: _Armed, hit: Hit, struck: Strike | Exception | None) -> None:
        """What was reached on the wire's loop."""
        if isinstance(struck, Exception):
            raise struck
        if struck is not None:
            self._is_on(each, struck)
        elif self._points:
            try:
                self._strike_beside(each, hit)
            finally:
                self._points.release(hit)

    def _strike_beside(self, each: _Armed, hit: Hit) -> None:
        """Strike while the message is kept, and wait until what the fault killed is gone, and so its connections."""
        if each.injection.on == "broker":
            time.sleep(UNDER_WAY)
        self._strike(each, point=hit.point.full, moment=hit.moment)
        if each.strike and (killed := each.strike.killed):
            eventually(lambda: gone(killed), within=PATIENT, what=f"processes {sorted(killed)} have ended")

    def _strike(self, each: _Armed, **data: Any) -> None:
        injection = each.injection
        # Before the strike, so that whatever it causes lies inside its window.
        self._record("fault-start", each, target=injection.on, **data)
        struck = strike(self._subject, injection.on, injection.fault)
        if each.reached and (at := now()) - each.reached > IN_TIME:
            each.late = at
        self._is_on(each, struck)

    def _is_on(self, each: _Armed, struck: Strike) -> None:
        each.strike, heal = struck, each.injection.heal
        if heal:
            if self._points and heal.place:
                self._points.tell(heal.place)
            each.until = _Alarm(heal, now())
        self._ask(each)

    def _ask(self, each: _Armed) -> None:
        if not each.acted and each.strike and (evidence := each.strike.acted()):
            each.acted = True
            if each.until and each.until.trigger.kind is None and not each.healed:
                each.until = _Alarm(each.until.trigger, now())
            self._record("fault-acted", each, evidence=evidence)

    def _heal(self, each: _Armed) -> None:
        assert each.strike
        each.strike.heal()
        each.healed = True
        self._ask(each)
        self._record("fault-stop", each)

    def _record(self, kind: str, each: _Armed, **data: Any) -> None:
        self._recorder.record(kind, fault=str(each.injection.fault), id=each.id, **data)


def _has_struck(before: _Armed | None) -> bool:
    """Whether a fault may strike that follows this one; on the wire's loop."""
    return before is None or bool(before.reached) or before.strike is not None
