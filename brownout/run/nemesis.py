"""Carries a schedule of faults out: strikes on events, asks for evidence, heals."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from brownout.faults.strike import Strike, strike
from brownout.history.event import Event, now
from brownout.history.recorder import Recorder
from brownout.plan.plan import Injection, told_apart
from brownout.plan.trigger import Count, Trigger
from brownout.subject.subject import Subject

NS = 1_000_000_000
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
    acted: bool = False
    healed: bool = False
    forced: bool = False  # healed with the load, because its own trigger never came


class Nemesis:
    """Fed with events and called often, it does what the schedule says. Faults that fail to heal raise."""

    def __init__(self, injections: Iterable[Injection], subject: Subject, recorder: Recorder) -> None:
        self._subject, self._recorder = subject, recorder
        begin = now()
        self._armed = [
            _Armed(injection, f"{injection.fault.name}@{injection.on}#{n}", _Alarm(injection.when, begin))
            for n, injection in enumerate(injections, 1)
        ]

    def see(self, events: Iterable[Event]) -> None:
        """Events that happened, for the triggers."""
        for event in events:
            for each in self._armed:
                each.when.see(event)
                if each.until:
                    each.until.see(event)

    def act(self) -> None:
        """Strike, ask for evidence, or heal: whatever is due."""
        for each in self._armed:
            if each.strike is None and each.when.rings():
                self._strike(each)
            elif each.strike and not each.healed:
                self._ask(each)
                if each.until and self._in_time(each):
                    self._heal(each)

    def heal(self) -> None:
        """Heal everything that is on, the newest first."""
        for each in reversed(self._armed):
            if each.strike and not each.healed:
                each.forced = each.until is not None and not each.until.rings()
                self._heal(each)

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
    def timed(self) -> bool:
        """Whether a fault that has struck will heal by the clock, which always comes."""
        return any(each.strike and each.until and each.until.trigger.kind is None and not each.healed
                   for each in self._armed)  # fmt: skip

    @property
    def waiting(self) -> bool:
        """Whether an injection has not struck yet."""
        return any(each.strike is None for each in self._armed)

    @property
    def missed(self) -> list[str]:
        """One sentence for each trigger that never fired: what was awaited, what came instead."""
        texts = ((f"{each.injection.fault} on {each.injection.on}", n) for n, each in enumerate(self._armed, 1))
        named = list(zip(told_apart(texts), self._armed, strict=True))
        struck = [f"{name} never struck: {each.when.count}" for name, each in named if not each.strike]
        healed = [f"{name} did not heal as planned: {each.until.count}"
                  for name, each in named if each.forced and each.until]  # fmt: skip
        return struck + healed

    def _strike(self, each: _Armed) -> None:
        injection = each.injection
        # Before the strike, so that whatever it causes lies inside its window.
        self._record("fault-start", each, target=injection.on)
        each.strike = strike(self._subject, injection.on, injection.fault)
        if injection.heal:
            each.until = _Alarm(injection.heal, now())
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
