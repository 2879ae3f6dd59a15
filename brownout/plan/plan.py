"""The plan of a trial, as one value. A capsule is the JSON text of a stored trial's plan."""

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
    """An injection: a fault, its target (`on`), and when the fault begins and heals. If `heal` is not set, the fault
    heals when the load has ended.

    If `then` is true, the fault strikes at its fault point only after the previous fault of the plan has struck. Also
    for a fault that follows another fault, the ordinal of its fault point counts from the start of the load.
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
        """Whether the fault strikes the message at the fault point that its trigger waits for."""
        place = self.when.place
        return place is not None and place.edge == self.on and bool(self.fault.kind.moments)

    def check(self, topology: Topology) -> None:
        """Raise ValueError when the injection cannot be carried out in this topology.

        If a target, an edge or a source of events is unknown, the error is UnknownName, with similar names.
        """
        kind, place = self.fault.kind, self.when.place
        if self.when.since == "fault":
            hint = f'only heal= takes it; write when=at("{self.when}")'
            raise ValueError(f'after("{self.when}") counts from the start of the fault: {hint}')
        if self.heal and self.heal.since == "load":
            hint = f'only when= takes it; write heal=after("{self.heal}")'
            raise ValueError(f'at("{self.heal}") counts from the start of the load: {hint}')
        if kind.needs_point and not place:
            raise ValueError(f"{self.fault} strikes a message on the wire: when=point(edge, command), not {self.when}")
        if self.then and not place:
            raise ValueError(f"{self} follows another fault, so it needs a point: when=point(edge, command)")
        known("target", self.on, topology.targets)
        target_kind = "edge" if "->" in self.on else self.on.partition("-")[0]
        if target_kind not in kind.targets:
            targets = ", ".join(sorted(kind.targets))
            raise ValueError(f"{self.fault.name} cannot strike {self.on!r}; its targets are: {targets}")
        for trigger in (self.when, self.heal):
            check_source(trigger, topology)
        if place and kind.needs_point and self.on != place.edge:
            raise ValueError(f"{self.fault} strikes the message at its point, on {place.edge!r}: leave `on` out")
        if place and self.at_its_point and place.moment not in kind.moments:
            raise ValueError(f'{self.fault} strikes at the moment "{kind.moments[0]}", not "{place.moment}"')


def told_apart(injections: Iterable[tuple[str, object]]) -> list[str]:
    """Return a name for each injection (a planned fault), which is given as text and number. The name is the text; if
    several texts are equal, the number is added."""
    pairs = list(injections)
    uses = Counter(text for text, _ in pairs)
    return [text if uses[text] == 1 else f"{text} (injection {number})" for text, number in pairs]


def check_source(trigger: Trigger | None, topology: Topology) -> None:
    """Raise UnknownName, with similar names, when the topology lacks the trigger's edge or source of events."""
    if trigger is not None and (place := trigger.place):
        known("edge to Redis", place.edge, topology.redis_edges)
    if trigger is not None and trigger.source is not None:
        sources = {*topology.processes, "client", "wire", "broker", "effects", "store", "nemesis", "run"}
        known("source", trigger.source, sources | {name.partition("-")[0] for name in sources})


@dataclass(frozen=True)
class Plan:
    """The plan of one trial: topology, load, schedule of faults, promises, and the seed of all random choices.

    At its end a trial waits at most `drain` seconds until all accepted work is finished (the drain). If `settle` is
    set, which needs a load of one operation, the trial ends as soon as the recorded events show that nothing can change
    any more. If `settle` is set, `order` lists the full names of the points (Redis requests and replies) of an
    operation without a fault. Until the first fault strikes, the network proxy makes requests of different processes
    pass in this order.
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
        """Ten hexadecimal digits, a hash of the plan's JSON: equal plans have equal ids, in every process."""
        return hashlib.blake2b(self.to_json().encode(), digest_size=5).hexdigest()

    def to_json(self) -> str:
        """Return the plan as JSON with sorted names and without spaces, so that equal plans give equal texts."""
        content = {"schema": SCHEMA} | encode(self)
        return json.dumps(content, sort_keys=True, separators=(",", ":"), allow_nan=False)

    @classmethod
    def from_json(cls, text: str) -> Plan:
        """Read a plan from the JSON that `to_json` wrote, or from a capsule. Raises ValueError for a plan of another
        schema."""
        content = json.loads(text)
        content.pop("capsule", None)  # in a capsule (a stored trial), this field says where the trial ran
        if (schema := content.pop("schema", None)) != SCHEMA:
            raise ValueError(f"this plan has another schema, {schema}; this brownout reads schema {SCHEMA}")
        return decode(cls, content)

    @property
    def triggers(self) -> tuple[Trigger, ...]:
        """The triggers (events or times) of all loads and faults of the plan."""
        triggers = [load.when for load in self.load]
        for injection in self.injections:
            triggers += [injection.when, injection.heal]
        return tuple(trigger for trigger in triggers if trigger is not None)

    def validated(self, tasks: Collection[str] | None = None, routes: Collection[str] | None = None) -> Plan:
        """Return the plan when it can be carried out; else raise ValueError, with similar names for a wrong name.

        `tasks` and `routes` are those of the application; if one of them is None, its names are not checked.
        """
        if not 0 <= self.seed < 1 << SEED_BITS:
            raise ValueError(f"a seed has {SEED_BITS} bits and is not negative: {self.seed}")
        if not self.load:
            raise ValueError("there is no load: a trial without operations proves nothing; add lab.load(...)")
        if not self.promises:
            raise ValueError("nothing is promised: the trial could not fail; add lab.promise(...)")
        for load in self.load:
            load.check(tasks, routes)
            check_source(load.when, self.topology)
            if isinstance(load.operation, Http) and not self.topology.servers:
                raise ValueError(f"{load.operation} needs an API, and the topology has no API (`servers` is 0)")
        for injection in self.injections:
            injection.check(self.topology)
        if self.injections and self.injections[0].then:
            raise ValueError(f"{self.injections[0]} follows another fault (`then`), and there is none before it")
        return self
