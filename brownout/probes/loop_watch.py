"""Finds out when an event loop is blocked, for how long, and by which code.

A timer on the event loop runs every 5 ms (the beat), and another thread watches whether it comes in time. When the
timer is more than 20 ms late, the thread takes the stack of the loop's thread, which shows the blocking code. When the
timer on the event loop runs next, it measures how long the loop was blocked. In two cases a late timer does not mean
that code has blocked the event loop. In the first case in which a late timer does not count, the loop's thread waited
for a CPU (field 2 of its schedstat, in nanoseconds), or it waited for the interpreter's lock while the watching thread
held the lock and itself waited for a CPU nearly all that time. In the second case in which a late timer does not count,
the whole process was stopped: the watching thread stopped, too, and no thread used a CPU.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading

from brownout.probes.line import now
from brownout.probes.recorder import Recorder
from brownout.probes.stack import Stacks, summary

TICK = 0.005  # Seconds between two runs of the timer.
THRESHOLD = 0.020  # Seconds; when the timer is later than this, the event loop is blocked.
_PAUSE = 0.200  # Seconds; a shorter stop of the whole process is not recognised.
# When the timer on the event loop is late, the loop counts as not blocked if the watching thread held the interpreter's
# lock and waited for a CPU during at least this share of the delay.
_INVERTED = 0.8
_SURE = 0.100  # seconds; a stall is recorded if it lasted longer than the wait for a CPU by at least this much
_NS = 1e9
#: The name of threads of brownout that only watch other threads; the kernel knows the threads by this name.
LOOKER = "brownout-looks"


class LoopWatch:
    """Watches the running loop of the thread that makes this object; the methods `start` and `stop` must be called on
    that loop."""

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder
        self._loop = asyncio.get_running_loop()
        self._ident = threading.get_ident()
        self._schedstat = _schedstat(threading.get_native_id())
        self._own_schedstat: int | None = None
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="brownout-loop-watch", daemon=True)
        self._timer: asyncio.TimerHandle | None = None
        self._beat_at = self._tick_at = now()
        self._frozen = 0
        self._stacks = Stacks()
        self._stack: list[str] = []
        self._own = ""
        self._used = self._use()

    def start(self) -> None:
        """Start the timer on the event loop and the watching thread."""
        self._thread.start()
        self._own_schedstat = _schedstat(self._thread.native_id)
        self._beat()

    def stop(self) -> None:
        """Stop the timer and the watching thread, and wait until the thread has ended."""
        self._stopped.set()
        if self._timer:
            self._timer.cancel()
        self._thread.join()
        self._stacks.close()
        for file in filter(None, (self._schedstat, self._own_schedstat)):
            os.close(file)
        self._schedstat = self._own_schedstat = None

    def _use(self) -> tuple[int, int, int]:
        """Return how long the loop's thread has run, how long it has waited for a CPU, and how long the watching thread
        has waited for a CPU (all in ns)."""
        ran, waited = _read(self._schedstat)
        return ran, waited, _read(self._own_schedstat)[1]

    def _beat(self) -> None:
        at, used = now(), self._use()
        late = at - self._beat_at
        if late > THRESHOLD * _NS:
            self._tell(late, used)
        self._beat_at, self._used, self._stack, self._own, self._frozen = at, used, [], "", 0
        self._timer = self._loop.call_later(TICK, self._beat)

    def _tell(self, late: int, used: tuple[int, int, int], ongoing: bool = False) -> None:
        ran, starved, own = (after - before for after, before in zip(used, self._used))
        if own > _INVERTED * late:
            starved = own
        stopped = max(self._frozen, now() - self._tick_at)
        if late > _PAUSE * _NS and stopped > 0.9 * late and ran < late / 2 and self._schedstat is not None:
            self._recorder.record("paused", ms=_ms(late))
        elif starved * 2 < late or late - starved > _SURE * _NS:
            self._recorder.record(
                "stall", ms=_ms(late), starved_ms=_ms(starved), stack=self._stack, own=self._own, ongoing=ongoing
            )
        # the application did not block the loop; the event is recorded all the same, because the wait for a CPU
        # explains long times in other measurements
        elif not ongoing:
            self._recorder.record("starved", ms=_ms(late), starved_ms=_ms(min(late, starved)))

    def _watch(self) -> None:
        only_looks()
        tell_at = 1.0
        while not self._stopped.wait(TICK):
            at = now()
            self._frozen = max(self._frozen, at - self._tick_at)
            self._tick_at = at
            late = (at - self._beat_at) / _NS
            if late < THRESHOLD:
                tell_at = 1.0
            elif not self._stack:
                self._stack, self._own = summary(self._stacks.of(self._ident))
            elif late > tell_at:
                # A stall may never end, so it is also recorded during the stall, after 1, 2, 4 and so on seconds.
                tell_at *= 2
                with contextlib.suppress(OSError, ValueError):
                    self._tell(int(late * _NS), self._use(), ongoing=True)


def only_looks() -> None:
    """Name this thread LOOKER, so that `RunDelay` does not count its waits for a CPU. On a system without /proc the
    thread gets no name."""
    with contextlib.suppress(OSError), open(f"/proc/self/task/{threading.get_native_id()}/comm", "w") as file:  # noqa: PTH123
        file.write(LOOKER)


def _schedstat(thread: int | None) -> int | None:
    with contextlib.suppress(OSError):
        return os.open(f"/proc/self/task/{thread}/schedstat", os.O_RDONLY | os.O_CLOEXEC)
    return None  # a kernel without schedstat does not tell how long threads wait


def _read(schedstat: int | None) -> tuple[int, int]:
    if schedstat is None:
        return 0, 0
    ran, waited, _ = os.pread(schedstat, 64, 0).split()
    return int(ran), int(waited)


def _ms(ns: int) -> float:
    return round(ns / 1e6, 1)
