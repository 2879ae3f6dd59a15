"""The plan of a trial, as one value. A capsule is the JSON of a plan."""

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
    """A fault, its target (`on`), and when it strikes and heals. Without `heal`, the fault heals after the load.

    With `then` the fault strikes at a point only after the previous injection has struck. The ordinal of a point after
    another injection counts from the start of the load, too.
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
        """Whether the fault strikes the message at the point that its trigger waits for."""
        place = self.when.place
        return place is not None and place.edge == self.on and bool(self.fault.kind.moments)

    def check(self, topology: Topology) -> None:
        """Raise ValueError when the injection cannot be carried out in this topology.

        For an unknown target, edge or source of events the error is UnknownName, with near matches.
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
    """Return names for injections, given as text and number: the text, with the number where texts are equal."""
    pairs = list(injections)
    uses = Counter(text for text, _ in pairs)
    return [text if uses[text] == 1 else f"{text} (injection {number})" for text, number in pairs]


def check_source(trigger: Trigger | None, topology: Topology) -> None:
    """Raise UnknownName, with near matches, when the topology lacks the trigger's edge or source of events."""
    if trigger is not None and (place := trigger.place):
        known("edge to Redis", place.edge, topology.redis_edges)
    if trigger is not None and trigger.source is not None:
        sources = {*topology.processes, "client", "wire", "broker", "effects", "store", "nemesis", "run"}
        known("source", trigger.source, sources | {name.partition("-")[0] for name in sources})


@dataclass(frozen=True)
class Plan:
    """The plan of one trial: topology, load, schedule of faults, promises, and the seed of all random choices.

    A trial ends with a drain of at most `drain` seconds. With `settle`, for a load of one operation, the trial ends
    when the evidence shows that nothing can change any more. With `settle`, `order` lists the full names of the points
    of an operation without a fault; until the first fault strikes, the wire keeps requests of different processes in
    this order.
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
        """The plan as canonical JSON: sorted names, no spaces."""
        content = {"schema": SCHEMA} | encode(self)
        return json.dumps(content, sort_keys=True, separators=(",", ":"), allow_nan=False)

    @classmethod
    def from_json(cls, text: str) -> Plan:
        """Read a plan from the JSON that `to_json` wrote, or from a capsule. Raises ValueError for a plan of another
        schema."""
        content = json.loads(text)
        content.pop("capsule", None)  # this field of a capsule says where the plan was carried out
        if (schema := content.pop("schema", None)) != SCHEMA:
            raise ValueError(f"this plan has another schema, {schema}; this brownout reads schema {SCHEMA}")
        return decode(cls, content)

    @property
    def triggers(self) -> tuple[Trigger, ...]:
        """All triggers of the loads and injections."""
        triggers = [load.when for load in self.load]
        for injection in self.injections:
            triggers += [injection.when, injection.heal]
        return tuple(trigger for trigger in triggers if trigger is not None)

    def validated(self, tasks: Collection[str] | None = None, routes: Collection[str] | None = None) -> Plan:
        """Return the plan when it can be carried out; else raise ValueError, with near matches for a wrong name.

        `tasks` and `routes` are those of the application; with None, names of tasks or routes are not checked.
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
