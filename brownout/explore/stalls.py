"""How long the API's event loop stood still, as an interval: time without a CPU is in doubt."""

from __future__ import annotations

from dataclasses import dataclass, field

from brownout.history.event import Event

LIMIT = 250.0  # ms; a loop that stands still for so long has stalled


@dataclass
class Stalls:
    """Takes the events of a history in their order. Stalls before the API said that it is ready do not count."""

    limit: float = LIMIT
    _ready: dict[int, int] = field(default_factory=dict)  # pid: ns
    _stalls: list[tuple[int, int, float, float]] = field(
        default_factory=list
    )  # pid, end (ns), upper and lower end (ms)

    def see(self, event: Event) -> None:
        """Take one event. A stall that goes on is told several times; the last of these replaces the earlier ones."""
        if event.kind == "ready":
            self._ready.setdefault(event.pid, event.at)
        elif event.kind == "stall" and event.pid in self._ready:
            lasted = float(event.data.get("ms", 0.0))
            began = event.at - int(lasted * 1e6)
            if self._stalls and self._stalls[-1][0] == event.pid and began < self._stalls[-1][1]:
                self._stalls.pop()
            wall = min(lasted, max(0.0, (event.at - self._ready[event.pid]) / 1e6))
            lowest = max(0.0, wall - float(event.data.get("starved_ms", 0.0)))
            self._stalls.append((event.pid, event.at, wall, lowest))

    @property
    def sure(self) -> bool:
        """Whether the loop stood still for the limit or longer, without the time in which it waited for a CPU."""
        return any(lowest >= self.limit for *_, lowest in self._stalls)

    @property
    def doubt(self) -> str:
        """Why it is not known whether the loop stood still for too long; empty when it is known."""
        open_ = [(wall, lowest) for *_, wall, lowest in self._stalls if lowest < self.limit <= wall]
        if self.sure or not open_:
            return ""
        wall, lowest = max(open_)
        return (
            f"the API's loop may have stood still for {wall:.0f} ms, {wall - lowest:.0f} ms of them without a CPU;"
            f" the limit is {self.limit:g} ms"
        )
