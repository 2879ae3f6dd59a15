"""One trial: a warm and idle system, one task, the faults of a schedule, and what became of it.

Waiting is measured in fair time (see `fair`), except for LONGEST.
"""

from __future__ import annotations

import asyncio
import time
import traceback
import uuid
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack, suppress
from typing import Any

from brownout.explore.bench import Bench
from brownout.explore.bounds import Bounds
from brownout.explore.cell import IDLE, UNKNOWN, Cell, Point, parts, validity_of
from brownout.explore.client import Client, Knowledge
from brownout.explore.conductor import HANDSHAKE, Conductor
from brownout.explore.fair import FairTime
from brownout.explore.found import Found
from brownout.explore.launcher import Launcher
from brownout.explore.outcome import Observation, judge
from brownout.explore.strike import Striker
from brownout.explore.witnesses import Witnesses, any_lives
from brownout.history.layout import Layout

SURE = 0.08  # s; a message between two places is nowhere for a moment
LOOK = 0.04  # s between two looks at the server and the files
QUIET = 0.25  # s without any change: then it is settled, or a probe is sent
SOON = 0.004  # s between two looks at what is known without asking
READY = 20.0  # s for processes to come up
IDLE_FOR = 0.02  # s without a request
WARM = "warm"
WAITED = 0.9  # of the time that a reply is kept: a task that took so long has waited for it
LONGEST = 90.0  # s of wall time; a trial that takes so long has no verdict

State = tuple[Any, ...]  # whatever can change, as a value


class Trial:
    """Use it once. A `strike.Stage`."""

    def __init__(
        self,
        bench: Bench,
        launcher: Launcher,
        schedule: Sequence[Cell] = (),
        *,
        bounds: Bounds,
        order: Sequence[Point] = (),
        layout: Layout | None = None,
    ) -> None:
        self.layout = layout or Layout()
        self.bench, self.launcher, self.schedule = bench, launcher, tuple(schedule)
        self.mission, self.workload, self.bounds, self.held = bench.mission, bench.mission.workload, bounds, bounds.held
        self.striker = Striker(self)
        self.fair = FairTime(lambda: bench.pids)
        self.conductor = Conductor(
            self.striker, handshakes=self.workload.first, order=tuple(order), clock=lambda: self.fair.seconds
        )
        self.kill, self.signal, self.restart_broker = bench.kill, bench.signal, bench.restart_broker
        self.about = Knowledge()
        self.keys = [f"job-{n + 1}" for n in range(self.workload.keys)]
        self.task = str(uuid.uuid4())
        self._probe: Knowledge | None = None
        self._probed_since = 0.0  # s of fair time
        self._probed_at = 0.0  # s on the monotonic clock
        self._clients: list[Client] = []
        self._accepted = 0.0  # s of fair time
        self._facts = ""
        self._workers = [role for role in self.mission.roles if role.startswith("worker")]
        self._witnesses: Witnesses | None = None

    async def run(self) -> Found:
        """Carry it out. Whatever goes wrong with the trial itself, here or in its tasks, is an outcome "unknown"."""
        begun = time.monotonic()
        try:
            async with asyncio.TaskGroup() as tasks:
                return await self._carried_out(tasks, begun)
        except Exception as wrong:
            return self._broken(wrong, begun)

    async def _carried_out(self, tasks: asyncio.TaskGroup, begun: float) -> Found:
        try:
            async with asyncio.timeout(LONGEST) as longest:
                self.fair.look()
                await self.bench.set_up(self.conductor, self.launcher, tasks, self.layout)
                self.saw = self._witnesses = Witnesses(self.bench, self.keys)
                client = await self._warm_up()
                self.conductor.arm(self.schedule)
                if self.schedule and self.schedule[0].point.label.endswith(IDLE):
                    await self._until(lambda: bool(self.conductor.hits), "an idle BRPOP")
                self.about = client.submit(self.keys, self.task, LONGEST)
                await self._watch(client)
                return self._judged(await self._observe(client), begun)
        except TimeoutError as error:
            if longest.expired():
                raise TimeoutError(f"the trial was not over after {LONGEST:g} s") from error
            raise
        finally:
            await self._take_down()

    async def _take_down(self) -> None:
        """Take everything down. All of it is tried, then the last error is raised."""
        async with AsyncExitStack() as stack:
            stack.push_async_callback(self.bench.mend)
            stack.push_async_callback(self.bench.clear)
            for client in self._clients:
                stack.push_async_callback(client.close)
            stack.callback(self.conductor.close)
            stack.push_async_callback(self.striker.end)

    def _judged(self, seen: Observation, begun: float) -> Found:
        self._facts = seen.text
        if self.schedule and not self.conductor.hits:
            return self._found(UNKNOWN, begun, why=f"{self.schedule[0].point.full} was not reached")
        if self.striker.errors:
            return self._broken(self.striker.errors[0], begun, "the fault failed: ")
        word = judge(seen)
        if self.striker.active and parts(word)[0] != "duplicate":  # what took effect twice stays so
            return self._found(UNKNOWN, begun, why="the fault was still in force", busy=True)
        if validity_of(word) == "valid" and (doubt := self.saw.stalls.doubt):
            return self._found(UNKNOWN, begun, why=doubt, busy=True)
        return self._found(word, begun)

    def _broken(self, wrong: BaseException, begun: float, before: str = "") -> Found:
        """Unknown: the harness failed, or something did not come in time, as on a machine that is too busy."""
        lines = "".join(traceback.format_exception(wrong)).rstrip()
        while isinstance(wrong, BaseExceptionGroup):
            wrong = wrong.exceptions[0]
        if busy := isinstance(wrong, TimeoutError):
            lines += f"\n{self.fair.starved:.1f} s of {time.monotonic() - begun:.1f} s passed without a CPU"
            what = str(wrong) or "an answer did not come in time"
        else:
            what = f"{type(wrong).__name__}: {wrong}"
        return self._found(UNKNOWN, begun, why=before + what, trouble=lines, busy=busy)

    # --- before

    async def _warm_up(self) -> Client:
        queue = self.layout.queues[0]

        def consume() -> bool:
            return all(self.conductor.consumes(f"{role}->broker", queue) for role in self._workers)

        client = await self._client()
        await self._until(consume, "the workers consume")
        task = str(uuid.uuid4())
        self.saw.others.add(task)
        about = client.submit([WARM], task, LONGEST, plain=True)
        await self._until(lambda: about.told != "waiting", "the warm-up task ends")
        if about.told != "read" or about.task is None:
            raise RuntimeError(f"the warm-up task failed: {about.events}")
        self.saw.others.add(about.task)
        await self._until_drained()
        await self._until_idle(consume)
        others = frozenset(f"{role}->broker" for role in self._workers[1:])
        if others:
            self.conductor.aside = others
            await self._until(lambda: not any(self.conductor.consumes(edge, queue) for edge in others), "one consumes")
        if self.workload.beat:
            return self.bench.beat(client)
        if self.workload.first:
            await client.close()
            await self.bench.processes["client"].kill()
            client = await self._client()
        return client

    async def _client(self) -> Client:
        client = await self.fair.within(READY, self.bench.client(), "the client is ready")
        self._clients.append(client)
        return client

    async def _until_drained(self) -> None:
        give_up = self.fair.look() + READY
        while await self.bench.direct.messages():
            if await self.fair.nap(0.005) > give_up:
                raise TimeoutError(f"not within {READY:g} s: the message of the warm-up task is acknowledged")

    async def _until_idle(self, consume: Callable[[], bool]) -> None:
        """Until no request has come for IDLE_FOR."""
        latest, since = -1, self.fair.look()
        give_up = since + READY
        while True:
            now = await self.fair.nap(0.004)
            if self.conductor.latest != latest or not consume():
                latest, since = self.conductor.latest, now
            elif now - since > IDLE_FOR:
                return
            if now > give_up:
                raise TimeoutError(f"not within {READY:g} s: the system is idle")

    async def _until(self, condition: Callable[[], bool], what: str) -> None:
        """Look often, but at the clock only every LOOK: that costs more."""
        give_up, looks = self.fair.look() + READY, 0
        while not condition():
            looks += 1
            await asyncio.sleep(SOON)
            if looks % int(LOOK / SOON) == 0 and self.fair.look() > give_up:
                raise TimeoutError(f"not within {READY:g} s: {what}")

    # --- while it runs

    async def _watch(self, client: Client) -> None:
        """Until nothing can change any more: by evidence, and by deadlines where there can be none."""
        state: State = ()
        now = since = self.fair.look()
        give_up = now + self.bounds.limit
        while now < give_up:
            held = self._held()
            newest = await self._look()
            if newest != state or held or self._held() or self.striker.active:
                state, since = newest, self.fair.look()
            good, settled = self._good(state) and now - since > SURE, self._settled(now - since)
            if not self.schedule:
                if good:
                    return
            elif self.striker.active:
                pass
            elif self._probe is None:
                if good or (settled and self.conductor.hits):
                    await self._send_probe(client)
            elif await self._probed(client) and (good or (settled and self._over(state, now - since))):
                return
            now = await self._change()
            self._lose_patience(now)

    def _lose_patience(self, now: float) -> None:
        """Say that get() failed when its time-out is over in fair time. An API is asked until the trial ends."""
        if self.workload.http or self.about.answered != "accepted" or self.about.told != "waiting":
            return
        self._accepted = self._accepted or now
        if now - self._accepted > self.bounds.result:
            self.about.learn("unread", error=f"no result within {self.bounds.result:g} s")

    async def _change(self) -> float:
        """Wait until the caller learns something, LOOK at most; returns fair time."""
        self.about.changed.clear()
        begun, late = time.monotonic(), 0.0
        try:
            await asyncio.wait_for(self.about.changed.wait(), LOOK)
        except TimeoutError:
            late = time.monotonic() - begun - LOOK
        return self.fair.look(late)

    def _held(self) -> bool:
        """Whether a message is in a worker's memory alone; one that keeps it for long will not register it."""
        return self.conductor.holds(self.bounds.held)

    async def _look(self) -> State:
        """Read every witness. One element: the server could not be asked, so nothing is settled."""
        self.saw.read()
        if self.workload.http and self.about.task:
            self.saw.own = {self.about.task}
        if self.workload.beat and any(point.edge == "beat->broker" for point in self.conductor.trace):
            self.about.answered = "accepted"  # it has sent its tick, or tried to
        try:
            left = await self._left()
        except (OSError, TypeError, ValueError):
            return (time.monotonic(),)
        return (
            left,
            tuple(sorted(self.saw.effects.items())),
            (self.about.answered, self.about.told),
            self._probe is not None and self.saw.done(self._probe.task),
            len(self.bench.deaths),
        )

    async def _left(self) -> tuple[str, ...]:
        """Where messages of the trial lie."""
        messages = await self.bench.direct.messages()
        return tuple(sorted(each.place for each in messages if each.id not in self.saw.others))

    def _good(self, state: State) -> bool:
        return len(state) > 1 and not state[0] and not self.saw.missing and self.about.told in ("read", "dead")

    def _settled(self, still: float) -> bool:
        """Whether nothing moves. A task body that runs in a process that lives may, for some time."""
        return still > (self.bounds.held + QUIET if any_lives(self.saw.running) else QUIET)

    def _over(self, state: State, still: float) -> bool:
        """Whether waiting on can bring nothing more."""
        left = state[0] if len(state) > 1 else True
        if (left and self.bounds.recover) or (self.saw.missing and self.bounds.republished):
            return still > self.bounds.still  # the broker gives it back, or the application does
        if self.saw.missing and (left or self.about.answered != "waiting"):
            return True  # lost or stuck: no answer can mend it
        return self.about.answered != "waiting" and self.about.told != "waiting"

    # --- the probe: is there anybody who consumes?

    async def _send_probe(self, client: Client) -> None:
        if any(self.bench.killed.get(role, 0.0) > self.bench.born[role] for role in self._workers):
            return  # its BRPOP may still wait at the server, and take the probe
        with suppress(OSError):
            self._probe = await client.probe(self.bench.direct, self.conductor.published)
            self.saw.others |= set(self._probe.tasks)
            self._probed_since, self._probed_at = self.fair.seconds, time.monotonic()
            self.conductor.noting = False

    async def _probed(self, client: Client) -> bool:
        """Whether it is known. The clock starts when a worker could have taken it: a new one must come up first."""
        assert self._probe
        if self._probe.told == "dead":  # the API was away
            await self._send_probe(client)
        if self._probe.task:
            self.saw.others.add(self._probe.task)
        now = self.fair.seconds
        if any(self.conductor.polled.get(f"{role}->broker", 0.0) < self.bench.born[role] for role in self._workers):
            self._probed_since = now
        return self._consuming() or now - self._probed_since > self.bounds.probe

    # --- after

    async def _observe(self, client: Client) -> Observation:
        await self._look()
        left = await self._left()
        newest = max(self.saw.latest(), self.about.since)
        return Observation(
            wanted=dict.fromkeys(self.keys, 1),
            effects=dict(self.saw.effects),
            answered="accepted" if self.workload.beat else self.about.answered,  # the schedule is the promise
            told=self.about.told,
            recorded=self.saw.recorded,
            stored=await client.stored(self.bench.direct, self.about.task or self.task, self.about),
            queued=sum(place != "unacked" for place in left),
            unacked=left.count("unacked"),
            worker_died=self._died,
            consuming=self._consuming(),
            api_stalled=self.saw.stalls.sure,
            again=self._again(newest),
        )

    @property
    def _died(self) -> bool:
        """Whether a worker has ended by itself. One that steps down asks to be started again."""
        steps_down = self.mission.application.steps_down
        return any(role in self._workers and code not in steps_down for _, role, code in self.bench.deaths)

    def _consuming(self) -> bool:
        """Whether a worker took the probe, and each of several has asked for messages since it was sent.

        A limit that came first proves nothing good.
        """
        if not self.schedule:
            return True
        asked = (self.conductor.polled.get(f"{role}->broker", 0.0) for role in self._workers)
        several = len(self._workers) > 1
        taken = self._probe is not None and self.saw.done(self._probe.task)
        return taken and not (several and any(at < self._probed_at for at in asked))

    def _again(self, until: int) -> bool:
        """Whether it took more than a life without a fault: another try, a new connection, the wait for the fault."""
        if until - self.about.sent > WAITED * self.held * 1e9:
            return True
        return any(
            self.conductor.times[point] * 1e9 <= until
            and (point.ordinal > 1 if not HANDSHAKE.fullmatch(point.label) else _anew(point))
            for point in self.conductor.trace
            if point not in self.conductor.order
        )

    @property
    def _took(self) -> float:
        """Seconds from the submission to the last effect or answer."""
        saw = self._witnesses
        newest = max(saw.latest() if saw else 0, self.about.since)
        return max(0.0, (newest - self.about.sent) / 1e9)

    def _found(self, word: str, begun: float, *, why: str = "", trouble: str = "", busy: bool = False) -> Found:
        saw = self._witnesses
        shown = why or (not self.schedule and word not in ("once", "recovered"))
        return Found(
            word,
            why,
            self._took,
            saw.lines(self.conductor.seen, self.about, self.bench.deaths) if saw else (),
            tuple(dict.fromkeys(self.conductor.trace)),
            self.conductor.samples,
            self.conductor.times,
            len(self.conductor.hits),
            time.monotonic() - begun,
            self._acked(saw.first()) if saw else "",
            self.bench.logs() if shown else {},
            trouble,
            busy,
            self._facts,
        )

    def _acked(self, effect: int) -> str:
        acks = [at for point, at in self.conductor.times.items() if point.label.startswith("ZREM unacked_index")]
        return ("after" if min(acks) * 1e9 > effect else "before") if acks and effect else ""


def _anew(point: Point) -> bool:
    """A new connection that no clock asks for: an API may have a monitor that connects each time."""
    return point.command == "HELLO" and not point.edge.startswith("api")
