"""A plan as the scenario that an author would write for it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from brownout.check.registry import CHECKERS
from brownout.plan.duration import text
from brownout.plan.fault import FAULTS
from brownout.plan.operation import Http, Load, Submit
from brownout.plan.plan import Injection, Plan
from brownout.plan.topology import Topology, Workers
from brownout.plan.trigger import Trigger

SHORT = ("received", "started", "ended")  # triggers that are a verb of their own
VERBS = (*SHORT, "after", "at", "event", "get", "point", "post", "submit")


def scenario(plan: Plan, name: str, usual: Topology, promises: Iterable[str], note: str) -> str | None:
    """A pytest function that carries out the plan; None for a plan that the lab has no verbs for.

    `usual` is the topology that the lab begins with, `promises` are those to write, as text, `note` its docstring.
    """
    if plan.settle or any(injection.then for injection in plan.injections) or not all(map(_sayable, plan.load)):
        return None
    lines = [*_topology(plan.topology, usual)]
    lines += [f"lab.load({_load(load)})" for load in plan.load]
    lines += [f"lab.inject({_injection(injection)})" for injection in plan.injections]
    lines += [f'lab.drain("{text(plan.drain)}")'] if plan.drain != Plan().drain else []
    lines += [f"lab.promise({promise})" for promise in promises]
    body = "\n".join(f"    {line}" for line in (f'"""{note}"""', *lines, "lab.run().must_hold()"))
    imports = "\n".join(_imports("\n".join(lines)))
    return f"import pytest\n\n{imports}\n\n\n@pytest.mark.chaos\ndef {name}(lab: Lab) -> None:\n{body}\n"


def _sayable(load: Load) -> bool:
    operation = load.operation
    sent = isinstance(operation, Submit) or (isinstance(operation, Http) and operation.method in ("GET", "POST"))
    return sent and not load.begin and load.spread == "even"


def _imports(text: str) -> Iterator[str]:
    """An import for each module that has a name of the text."""
    names = {"Lab": "brownout"}
    for name in re.findall(r"(?<![\w.])[a-z_]+(?=\()", text):
        made = FAULTS[name].make if name in FAULTS else CHECKERS[name].make if name in CHECKERS else None
        if made is not None or name in VERBS:
            own = made is not None and not made.__module__.startswith("brownout.")
            names[name] = made.__module__ if made is not None and own else "brownout"
    for module in sorted(set(names.values())):
        yield f"from {module} import {', '.join(sorted(name for name in names if names[name] == module))}"


def _call(name: str, /, *args: str, **named: Any) -> str:
    given = (f"{key}={value!r}" for key, value in named.items() if value is not None)
    return f"{name}({', '.join((*args, *given))})"


def _topology(topology: Topology, usual: Topology) -> list[str]:
    """What differs from the topology that the lab begins with."""
    workers = _changed(topology.workers, usual.workers)
    count = workers.pop("count", topology.workers.count)
    more = _changed(topology, usual)
    more.pop("workers", None)
    lines = [_call("lab.workers", str(count), **workers)] if topology.workers != usual.workers else []
    return lines + ([_call("lab.topology", **more)] if more else [])


def _changed(value: Topology | Workers, usual: Topology | Workers) -> dict[str, Any]:
    now, before = vars(value), vars(usual)
    return {name: dict(now[name]) if isinstance(now[name], Mapping) else now[name] for name in now
            if now[name] != before[name]}  # fmt: skip


def _load(load: Load) -> str:
    operation, every = load.operation, text(load.every)
    if isinstance(operation, Submit):
        values: Sequence[Any] = (operation.task, *operation.args)
        written = _call("submit", *map(repr, values), **operation.kwargs, every=every, count=load.count)
        if operation.options:
            written += _call(".with_options", **operation.options)
        if load.lasting:
            written += f".until({text(load.lasting)!r})"
    else:
        assert isinstance(operation, Http)
        lasting = text(load.lasting) if load.lasting else None
        posted = operation.method == "POST"
        more = {"json": operation.json, "headers": dict(operation.headers) or None} if posted else {}
        more |= {"every": every, "count": load.count, "lasting": lasting}
        written = _call(operation.method.lower(), repr(operation.path), **more)
    return f"{written}.on({_trigger(load.when)})" if load.when else written


def _injection(injection: Injection) -> str:
    on = "" if injection.at_its_point else f", on={injection.on!r}"
    heal = f", heal={_trigger(injection.heal)}" if injection.heal else ""
    return f"{injection.fault}{on}, when={_trigger(injection.when)}{heal}"


def _trigger(trigger: Trigger) -> str:
    if trigger.kind is None:
        return f"{'after' if trigger.since == 'fault' else 'at'}({text(trigger.delay)!r})"
    if place := trigger.place:
        return _call("point", repr(place.edge), repr(place.command), nth=place.nth, moment=place.moment)
    nth = trigger.nth if trigger.nth > 1 else None
    delay = text(trigger.delay) if trigger.delay else None
    if trigger.kind in SHORT and trigger.source:
        worker = trigger.source if trigger.source != "worker" else None
        return _call(trigger.kind, nth=nth, source=worker, delay=delay, **trigger.data)
    source = (repr(trigger.source),) if trigger.source else ()
    return _call("event", repr(trigger.kind), *source, nth=nth, delay=delay, **trigger.data)
