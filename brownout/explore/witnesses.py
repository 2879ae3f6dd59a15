"""What the witnesses of one trial tell: effects, task bodies, who knows what. None lies behind the faulted network."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from brownout.explore.bench import Bench
from brownout.explore.client import Knowledge
from brownout.explore.conductor import HANDSHAKE
from brownout.explore.record import Seen
from brownout.explore.stalls import Stalls
from brownout.history.event import Event
from brownout.history.tail import Tail


class Witnesses:
    """Reads what was written since the last `read`. `keys` name the effects that there should be, one each.

    `others` are the tasks of the warm-up and of the probe. An effect that bears no key is told by its task: it belongs
    to the trial when it is in `own`, or, as long as that is empty, in none of the others.
    """

    def __init__(self, bench: Bench, keys: Sequence[str]) -> None:
        self.keys = tuple(keys)
        self.others: set[str] = set()
        self.own: set[str] = set()
        self._effects: list[Event] = []
        self.running: dict[str, int] = {}  # task: pid
        self.stalls = Stalls()
        self._events: list[Event] = []
        self._history = Tail(bench.history)
        reader = bench.mission.application.effects
        self._ledger = reader(bench.files) if reader else None
        # A task that is sent by its name goes past the application's store.
        records = bench.mission.application.accepted if bench.mission.workload.http else None
        self._records = records(bench.files) if records else None
        self._jobs: set[str | None] = set()  # tasks that the application's own store knows of; None: a row without one

    def read(self) -> None:
        """Look at what is new."""
        for event in self._history.poll():
            self._events.append(event)
            self.stalls.see(event)
            if event.kind == "started" and event.task:
                self.running[event.task] = event.pid
            elif event.kind == "ended" and event.task:
                self.running.pop(event.task, None)
                if self._ledger is None and event.data.get("state") == "SUCCESS":
                    self._effects.append(event)
        for event in self._ledger() if self._ledger else ():
            self._events.append(event)
            self._effects.append(event)
        self._jobs.update(event.task or None for event in (self._records() if self._records else ()))

    def _mine(self) -> Iterator[tuple[str, int]]:
        """Key and time (ns) of each effect of the trial's own."""
        for event in self._effects:
            if event.key in self.keys:
                yield str(event.key), event.at
            elif (event.task in self.own) if self.own else (event.task not in self.others):
                yield self.keys[0], event.at

    @property
    def effects(self) -> Counter[str]:
        """How often each key took effect."""
        return Counter(key for key, _ in self._mine())

    @property
    def recorded(self) -> bool | None:
        """Whether the application has a row of the trial's job; None where nobody can tell.

        It has none only when every row is another task's. The row of a chain may have the root's id while a child takes
        effect; a row may have no task, an effect only a key.
        """
        if self._records is None:
            return None
        jobs = self._jobs - self.others
        if not jobs:
            return False
        took_effect = {event.task for event in self._effects if event.task} - self.others
        return True if jobs & took_effect or (not took_effect and None not in jobs) else None

    def done(self, task: str | None) -> bool:
        """Whether another task, such as the probe, took effect."""
        return any(event.task == task for event in self._effects)

    @property
    def missing(self) -> bool:
        """Whether an effect is not there yet."""
        return not set(self.keys) <= self.effects.keys()

    def first(self) -> int:
        """ns of the first effect of the trial's own, 0 without one."""
        return min((at for _, at in self._mine()), default=0)

    def latest(self) -> int:
        """ns of the newest effect of the trial's own, 0 without one."""
        return max((at for _, at in self._mine()), default=0)

    def lines(
        self, seen: Sequence[Seen], about: Knowledge, deaths: Sequence[tuple[int, str, int | None]]
    ) -> tuple[str, ...]:
        """The events that prove it, in order, on one clock, from the submission on."""
        found = [(each.at, each.edge, each.what) for each in seen if each.telling and not HANDSHAKE.match(each.what)]
        found += [(at, "client", what) for at, what in about.events]
        found += [(at, role, f"ended by itself with {code}") for at, role, code in deaths]
        for event in self._events:
            if event.task in self.others:
                continue
            if event.kind in ("started", "effect"):
                found.append((event.at, event.source, event.kind))
            elif event.kind in ("ended", "failed", "retry"):
                found.append((event.at, event.source, f"{event.kind} {event.data.get('state') or ''}".rstrip()))
            elif event.kind == "stall" and event.data.get("ms", 0.0) >= self.stalls.limit:
                starved = event.data.get("starved_ms", 0.0)
                found.append((event.at, event.source, f"loop stood still for {event.data['ms']:.0f} ms, "
                              f"{starved:.0f} ms of them without a CPU"))  # fmt: skip
        return tuple(
            f"{(at - about.sent) / 1e9:+.3f} s  {who:15} {what}"
            for at, who, what in sorted(found)
            if at >= about.sent - 10**9
        )


def any_lives(running: Mapping[str, int]) -> bool:
    """Whether one of these processes lives."""
    return any(_lives(pid) for pid in running.values())


def _lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[0] not in (b"Z", b"X")
    except OSError:
        return False
