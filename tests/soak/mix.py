"""The faults of a soak: a random mix whose schedule follows from the seed and the number of jobs alone."""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from brownout import (
    after,
    blackhole,
    cut,
    disconnect,
    event,
    freeze,
    kill,
    kill_child,
    latency,
    point,
    refuse,
    reset,
    stop,
    terminate,
)
from brownout.extend import Fault, Strike, fault
from brownout.faults.replies import instant_strike
from brownout.faults.strike import strikes_there
from brownout.plan.duration import Duration
from brownout.plan.plan import Injection
from brownout.wire.redis.watch import Hit
from brownout.wire.tcp.toxics import BUILTIN
from tests.chaos.store_faults import end_store, locked, no_connections, refuse_store, slow_commits

FIRST = 20  # accepted jobs before the first fault
GAP = (12, 72)  # accepted jobs between the starts of two faults, at least and at most
APART = 110  # accepted jobs between two faults of one target: its process is there again by then
LAST = 0.8  # share of the jobs after which no fault begins: each acceptance that a trigger waits for must come
#: Share of the jobs after which the API is not ended any more. What it does not drop must have time to grow.
API_ENDS = 0.3
MOST = 120  # faults; the nemesis looks at each event once for each fault
RESTARTS = 18  # of one process; supervisors give up after 20
LOST_PER = 1_000  # one message in so many is lost on the wire
EARLY = 0.6  # share of the jobs within which messages are lost: fewer jobs are published by the API than are accepted


@fault(targets=("edge",), wires=BUILTIN, needs_point=True, heal="nothing to undo", moments=("before",))
def swallow() -> Fault:
    """A published message is lost: its sender gets the answer of a success, and Redis never gets the message."""
    return Fault("swallow")


@strikes_there(swallow)
def _swallowed(hit: Hit, _: Fault) -> Strike:
    assert hit.request
    task = json.loads(hit.request.commands[0].argv[2])["headers"]["id"]
    hit.passage.refuse(b":1\r\n")
    return instant_strike(f"Redis never got the message of {task}")


def ends() -> Fault:
    """SIGTERM, with less time than supervisors give: the nemesis waits for the end of the process."""
    return terminate(grace="4s")


def killed_whole() -> Fault:
    """SIGKILL to a worker and its pool."""
    return kill(children=True)


def slow_network() -> Fault:
    """Bytes arrive late, as over a bad line."""
    return latency("80ms", "40ms")


@dataclass(frozen=True)
class Choice:
    """A fault that the mix may draw. It heals after `lasting` or, if that is None, after the load; it begins within the
    share `until` of the jobs."""

    make: Callable[[], Fault]
    on: str
    lasting: Duration | None
    until: float = 1.0


EVERYWHERE = (
    *(Choice(make, f"worker-{n}", "1s") for n in (1, 2) for make in (killed_whole, kill, ends)),
    # It heals after the load: a worker that looks for its broker starts no pool process, and the nemesis waits for it.
    *(Choice(kill_child, f"worker-{n}", None) for n in (1, 2)),
    Choice(stop, "worker-2", "2s"),
    *(Choice(make, "relay", "1s") for make in (kill, ends)),
    *(Choice(make, "api", "1s", API_ENDS) for make in (kill, ends)),
    *(Choice(make, "broker", "1s") for make in (kill, ends, disconnect)),
    Choice(freeze, "broker", "2s"),
    # All edges to the broker: the API alone may have no connection that could be cut.
    *(Choice(make, "broker", lasting) for make, lasting in ((cut, "1s"), (reset, "1s"), (refuse, "2s"))),
    *(Choice(make, target, "3s") for target in ("worker->broker", "api->broker") for make in (blackhole, slow_network)),
)
SQLITE = (Choice(locked, "store", "2s"), Choice(slow_commits, "store", "2s"))
POSTGRES = (
    *(Choice(make, "store", lasting) for make, lasting in ((end_store, "1s"), (refuse_store, "2s"))),
    *(Choice(make, "store", "2s") for make in (locked, slow_commits, no_connections)),
)


def mixed(jobs: int, chance: random.Random, *, postgres: bool = False, relay: bool = True) -> list[Injection]:
    """The faults for so many jobs, in the order in which they begin; with `relay` false, none of the relay.

    Each choice comes once before any comes twice, those first that may come early only.
    """
    choices = EVERYWHERE + (POSTGRES if postgres else SQLITE)
    injections, busy, restarts = list[Injection](), dict[str, int](), Counter[str]()
    drawn = Counter({choice: -1 for choice in choices if choice.until < 1})
    gap = max(1.0, jobs * LAST / MOST / GAP[1] * 2)
    at = FIRST
    while at < jobs * LAST:
        free = [
            choice
            for choice in choices
            if at <= choice.until * jobs
            and all(at - begun >= APART for target, begun in busy.items() if _meet(target, choice.on))
            and restarts[choice.on] < RESTARTS
        ]
        if free:
            least = min(drawn[choice] for choice in free)
            choice = chance.choice([choice for choice in free if drawn[choice] == least])
            drawn[choice] += 1
            busy[choice.on] = at
            restarts[choice.on] += "->" not in choice.on and choice.on not in ("store", "broker")
            if relay or choice.on != "relay":
                when = event("ok", "client", nth=at)
                heal = None if choice.lasting is None else after(choice.lasting)
                injections.append(Injection(choice.make(), choice.on, when, heal))
        at += round(chance.randint(*GAP) * gap)
    return injections


def _meet(one: str, other: str) -> bool:
    """Whether faults of two targets may hide each other's effect: an edge has no connection while its end is away."""
    edge, part = (one, other) if "->" in one else (other, one)
    return one == other or ("->" in edge and part.partition("-")[0] in edge.split("->"))


def losses(jobs: int, chance: random.Random) -> Iterator[Injection]:
    """One message in a thousand, and at least one, that the wire loses without a word."""
    among = range(FIRST, max(FIRST + 1, round(jobs * EARLY)))
    for nth in sorted(chance.sample(among, min(len(among), max(1, jobs // LOST_PER)))):
        where = point("api->broker", "LPUSH", nth=nth)
        yield Injection(swallow(), "api->broker", where)
