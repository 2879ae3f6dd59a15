"""No process keeps what it should drop: the checker `nothing_leaks`, a promise like those in `check/promises`.

The resource watch (`run/watch.py`) records, for each process, its memory, its open descriptors and its connections.
"""

from __future__ import annotations

from collections import defaultdict

from brownout.check.interval import readable
from brownout.check.registry import checker
from brownout.check.verdict import NS, Anomaly, Ruling, witness
from brownout.history.event import Event
from brownout.history.view import History
from brownout.plan.duration import Duration, seconds

LEAST = 4  # samples of a life: one in each quarter


@checker(anomalies=("leak",))
def nothing_leaks(
    history: History,
    megabytes: float = 16,
    descriptors: int = 24,
    connections: int = 24,
    lasting: Duration = "30s",
    of: str | None = None,
) -> Ruling:
    """No process, or none `of` a name, keeps more and more memory, open descriptors or TCP connections.

    A life of a process counts when it lasted for `lasting`. The promise compares the medians of the second and of the
    last quarter of each life: the later one may be higher by `megabytes` of resident memory, by `descriptors`, and by
    `connections`. The first quarter is left out, because a process loads code and fills caches then. Each process of a
    worker's pool has a life of its own. `of` is the name of a process, or of several: "worker" means all workers. The
    verdict is unknown when no process lived for so long.
    """
    limits = {"megabytes": megabytes, "descriptors": descriptors, "connections": connections}
    lives: dict[tuple[str, int], list[Event]] = defaultdict(list)
    for event in history.kind("resources"):
        lives[event.data["process"], event.pid].append(event)
    anomalies, most, judged = list[Anomaly](), dict.fromkeys(limits, 0.0), 0
    for (process, _), life in lives.items():
        quarter = len(life) // LEAST
        if of and process != of and not process.startswith(f"{of}-"):
            continue
        if quarter < 1 or life[-1].at - life[0].at < seconds(lasting) * NS:
            continue
        judged += 1
        for name, limit in limits.items():
            early, late = (_median(part, name) for part in (life[quarter : 2 * quarter], life[-quarter:]))
            grown = late.data[name] - early.data[name]
            most[name] = max(most[name], grown)
            if grown > limit:
                took = readable((late.at - early.at) / NS)
                had = f"{early.data[name]:g} to {late.data[name]:g} {name}"
                sentence = f"{process} grew from {had} within {took}; the limit is {limit:g} more."
                anomalies.append(Anomaly("leak", sentence, witness=_proof(life, early, late)))
    grew = ", ".join(f"{grown:.3g} {name}" for name, grown in most.items())
    doubt = "" if judged else f"no process was watched for {readable(seconds(lasting))}"
    return Ruling(anomalies, doubt, f"{judged} lives of processes, which grew by at most {grew}")


def _median(samples: list[Event], name: str) -> Event:
    return sorted(samples, key=lambda event: event.data[name])[(len(samples) - 1) // 2]


def _proof(life: list[Event], early: Event, late: Event) -> tuple[Event, ...]:
    """Four samples whose second and fourth are those that were compared; the first one of them begins the life."""
    between = next(event for event in reversed(life) if event.at < late.at)
    return witness(life[0], early, between, late)
