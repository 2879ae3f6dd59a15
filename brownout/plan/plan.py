"""A whole trial as one value. Its JSON is what a capsule holds."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field

from brownout.plan.codec import decode, encode
from brownout.plan.fault import Fault
from brownout.plan.near import known
from brownout.plan.operation import Http, Load
from brownout.plan.promise import Promise
from brownout.plan.seed import SEED_BITS
from brownout.plan.settle import Settle
from brownout.plan.topology import Topology
from brownout.plan.trigger import Trigger

SCHEMA = 1


@dataclass(frozen=True)
class Injection:
    """A fault, where it strikes, when, and when it heals; without `heal` it heals when the load has ended.

    With `then` it waits for a point, whose place counts from the load's begin but is struck only when the injection
    before it has struck.
    """

    fault: Fault
    on: str
    when: Trigger
    heal: Trigger | None = None
    then: bool = False

    def __str__(self) -> str:
        return f"{self.fault} on {self.on} at {self.when}"

    @property
    def at_its_point(self) -> bool:
        """Whether it strikes the very message at the point that it waits for."""
        place = self.when.place
        return place is not None and place.edge == self.on and bool(self.fault.kind.moments)

    def check(self, topology: Topology) -> None:
        """Raise ValueError, with near matches, when this topology has no such target, edge or source of events."""
        kind, place = self.fault.kind, self.when.place
        if self.when.since == "fault":
            raise ValueError(f'after("{self.when}") counts from when the fault began, so it is for heal: when=at(time)')
        if self.heal and self.heal.since == "load":
            raise ValueError(f'at("{self.heal}") counts from when the load began, so it is for when: heal=after(time)')
        if kind.needs_point and not place:
            raise ValueError(f"{self.fault} strikes a message on the wire: when=point(edge, command), not {self.when}")
        if self.then and not place:
            raise ValueError(f"{self} follows another fault, so it needs a point: when=point(edge, command)")
        known("target", self.on, topology.targets)
        sort = "edge" if "->" in self.on else self.on.partition("-")[0]
        if sort not in kind.targets:
            takes = " or ".join(sorted(kind.targets))
            raise ValueError(f"{self.fault.name} strikes {takes}, and {self.on!r} is none")
        for trigger in (self.when, self.heal):
            check_source(trigger, topology)
        if place and kind.needs_point and self.on != place.edge:
            raise ValueError(f"{self.fault} strikes the message at its point, on {place.edge!r}: leave `on` out")
        if place and self.at_its_point and place.moment not in kind.moments:
            raise ValueError(f'{self.fault} strikes at the moment "{kind.moments[0]}", not "{place.moment}"')


def told_apart(injections: Iterable[tuple[str, object]]) -> list[str]:
    """Names for injections, each given by its text and its number: the text, with the number where two are alike."""
    told = list(injections)
    alike = Counter(text for text, _ in told)
    return [text if alike[text] == 1 else f"{text} (injection {number})" for text, number in told]


def check_source(trigger: Trigger | None, topology: Topology) -> None:
    """Raise UnknownName, with near matches, when this topology has nobody, or no edge, of that name to see events."""
    if trigger is not None and (place := trigger.place):
        known("edge to Redis", place.edge, topology.redis_edges)
    if trigger is not None and trigger.source is not None:
        sources = {*topology.processes, "client", "wire", "broker", "effects", "store", "nemesis", "run"}
        known("source", trigger.source, sources | {name.partition("-")[0] for name in sources})


@dataclass(frozen=True)
class Plan:
    """Topology, load, schedule of faults, promises and the seed of every chance in it.

    A trial ends with a drain of at most `drain` seconds, or with `settle` by evidence: that is for a load of one
    operation. `order` then has the points of a life without a fault (their full names): until the first fault strikes,
    the wire keeps requests of different processes in this order.
    """

    topology: Topology = field(default_factory=Topology)
    load: tuple[Load, ...] = ()
    injections: tuple[Injection, ...] = ()
    promises: tuple[Promise, ...] = ()
    seed: int = 0
    drain: float = 30.0
    settle: Settle | None = None
    order: tuple[str, ...] = ()

    @property
    def id(self) -> str:
        """Ten hexadecimal digits of the content: equal plans have equal ids, in every process."""
        return hashlib.blake2b(self.to_json().encode(), digest_size=5).hexdigest()

    def to_json(self) -> str:
        """Canonical JSON: sorted names, no spaces."""
        content = {"schema": SCHEMA} | encode(self)
        return json.dumps(content, sort_keys=True, separators=(",", ":"), allow_nan=False)

    @classmethod
    def from_json(cls, text: str) -> Plan:
        """Read what `to_json` wrote, or a capsule; ValueError when it is another schema's."""
        content = json.loads(text)
        content.pop("capsule", None)  # says what the plan was carried out on, see run/capsule.py
        if content.pop("schema", None) != SCHEMA:
            raise ValueError(f"this plan has another schema than {SCHEMA}")
        return decode(cls, content)

    @property
    def triggers(self) -> tuple[Trigger, ...]:
        """All that it waits for."""
        waited = [load.when for load in self.load]
        for injection in self.injections:
            waited += [injection.when, injection.heal]
        return tuple(trigger for trigger in waited if trigger is not None)

    def validated(self, tasks: Collection[str] | None = None, routes: Collection[str] | None = None) -> Plan:
        """Return the plan when it can be carried out; else raise ValueError, with near matches for a wrong name.

        `tasks` and `routes` are what the application has; None leaves them unchecked.
        """
        if not 0 <= self.seed < 1 << SEED_BITS:
            raise ValueError(f"a seed has {SEED_BITS} bits: {self.seed}")
        if not self.load:
            raise ValueError("there is no load: a fault that meets no operation proves nothing")
        if not self.promises:
            raise ValueError("nothing is promised: the trial could not fail")
        for load in self.load:
            load.check(tasks, routes)
            check_source(load.when, self.topology)
            if isinstance(load.operation, Http) and not self.topology.servers:
                raise ValueError(f"{load.operation} needs an API, and the topology has none")
        for injection in self.injections:
            injection.check(self.topology)
        if self.injections and self.injections[0].then:
            raise ValueError(f"{self.injections[0]} follows another fault, and there is none before it")
        return self
