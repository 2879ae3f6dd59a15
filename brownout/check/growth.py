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

    A life of a process, as far as the load lasts, counts when it is as long as `lasting`. From the second to the last
    quarter of a life the median may grow by `megabytes` of memory (RSS), `descriptors` and `connections`. Only growth
    that goes on counts: twice the smaller of the two steps between these three quarters. The first quarter is left out,
    because a process loads code and fills caches then. Each process of a worker's pool has a life of its own. `of` is
    the name of a process, or of several: "worker" means all workers. The verdict is unknown when no process lived for
    so long.
    """
    limits = {"megabytes": megabytes, "descriptors": descriptors, "connections": connections}
    lives: dict[tuple[str, int], list[Event]] = defaultdict(list)
    healed = next((event.at for event in history.kind("phase") if event.data.get("name") == "heal"), history.end)
    for event in (event for event in history.kind("resources") if event.at <= healed):
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
            second, third, fourth = (_median(life[n * quarter : (n + 1) * quarter], name) for n in (1, 2, 3))
            steps = [after.data[name] - before.data[name] for before, after in ((second, third), (third, fourth))]
            most[name] = max(most[name], 2 * min(steps))
            if 2 * min(steps) > limit:
                took = readable((fourth.at - second.at) / NS)
                had = f"{second.data[name]:g} to {fourth.data[name]:g} {name}"
                sentence = f"{process} grew from {had} within {took}; the limit is {limit:g} more."
                anomalies.append(Anomaly("leak", sentence, witness=witness(life[0], second, third, fourth)))
    grew = ", ".join(f"{grown:.3g} {name}" for name, grown in most.items())
    doubt = "" if judged else f"no process was watched for {readable(seconds(lasting))}"
    return Ruling(anomalies, doubt, f"{judged} lives of processes, which grew by at most {grew}")


def _median(samples: list[Event], name: str) -> Event:
    return sorted(samples, key=lambda event: event.data[name])[(len(samples) - 1) // 2]
