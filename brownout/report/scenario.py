"""A plan as the scenario that an author would write for it."""

from __future__ import annotations

import keyword
import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from brownout.check.registry import CHECKERS
from brownout.history.secrets import HIDDEN
from brownout.plan.duration import seconds, text
from brownout.plan.fault import FAULTS
from brownout.plan.operation import OPTIONS, Http, Load, Submit
from brownout.plan.plan import Injection, Plan
from brownout.plan.topology import Topology, Workers
from brownout.plan.trigger import Trigger
from brownout.probes.configuration import LEFT_OUT

SHORT = ("received", "started", "ended")  # kinds of events with a trigger function of their own, such as `started`
VERBS = (*SHORT, "after", "at", "event", "get", "point", "post", "submit")


def scenario(plan: Plan, name: str, usual: Topology, promises: Iterable[str], note: str) -> str | None:
    """Return a pytest function, as text, that carries out the plan; None for a plan that the methods of the fixture
    `lab` cannot build.

    `usual` is the topology with which the fixture `lab` begins, `promises` are the promises as text, `note` is the
    docstring of the test.
    """
    begun = [load.when for load in plan.load]
    triggers = (*begun, *(trigger for injection in plan.injections for trigger in (injection.when, injection.heal)))
    then = any(injection.then for injection in plan.injections)
    if plan.settle or then or not all(map(_sayable, plan.load)) or not all(map(_named, triggers)):
        return None
    lines = [*_topology(plan.topology, usual)]
    lines += [f"lab.load({_load(load)})" for load in plan.load]
    lines += [f"lab.inject({_injection(injection)})" for injection in plan.injections]
    lines += [f"lab.drain({_time(plan.drain)})"] if plan.drain != Plan().drain else []
    lines += [f"lab.promise({promise})" for promise in promises]
    if any(mark in line for line in lines for mark in (repr(LEFT_OUT), HIDDEN)):
        lines.insert(
            0, f"# {LEFT_OUT} and {HIDDEN} stand for values that look like secrets: read them from os.environ."
        )
    quoted = note.replace("\\", r"\\").replace('"', r"\"")
    body = "\n".join(f"    {line}" for line in (f'"""{quoted}"""', *lines, "lab.run().must_hold()"))
    imports = "\n".join(_imports("\n".join(lines)))
    return f"import pytest\n\n{imports}\n\n\n@pytest.mark.chaos\ndef {name}(lab: Lab) -> None:\n{body}\n"


def _sayable(load: Load) -> bool:
    operation = load.operation
    if isinstance(operation, Submit):
        ends = load.count is None or load.lasting is None
        sent = ends and operation.options.keys() <= OPTIONS and _free(operation.kwargs, "task", "every", "count")
    else:
        bare = isinstance(operation, Http) and not operation.headers and operation.json is None
        sent = isinstance(operation, Http) and (operation.method == "POST" or (operation.method == "GET" and bare))
    return sent and not load.begin and load.spread == "even"


def _named(trigger: Trigger | None) -> bool:
    """Whether the data of the event can be written as keyword arguments of `event`."""
    return trigger is None or trigger.place is not None or _free(trigger.data, "kind", "source", "nth", "delay")


def _free(names: Iterable[str], *taken: str) -> bool:
    """Whether all names can be keywords of a call whose own parameters are `taken`."""
    return not any(
        name in (*taken, "__debug__")
        or not name.isidentifier()
        or keyword.iskeyword(name)
        # Python normalizes the names of keyword arguments, so such a name cannot be passed as a keyword
        or unicodedata.normalize("NFKC", name) != name
        for name in names
    )


def _imports(text: str) -> Iterator[str]:
    """Yield an import statement for each module that has a name which occurs in the text."""
    names = {"Lab": "brownout"}
    for name in re.findall(r"(?<![\w.])[a-z_]\w*(?=\()", text):
        made = FAULTS[name].make if name in FAULTS else CHECKERS[name].make if name in CHECKERS else None
        if made is not None or name in VERBS:
            own = made is not None and not made.__module__.startswith("brownout.")
            names[name] = made.__module__ if made is not None and own else "brownout"
    for module in sorted(set(names.values())):
        yield f"from {module} import {', '.join(sorted(name for name in names if names[name] == module))}"


def _call(name: str, /, *args: str, data: Mapping[str, Any] | None = None, **own: str | None) -> str:
    """Return the Python text of a function call. `own` has keyword arguments of brownout, each already a Python
    expression; those that are None are left out. `data` has further keyword arguments as values, which are never left
    out."""
    named = {key: repr(value) for key, value in (data or {}).items()}
    named |= {key: value for key, value in own.items() if value is not None}
    return f"{name}({', '.join((*args, *(f'{key}={value}' for key, value in named.items())))})"


def _time(value: float) -> str:
    """A duration as people write it; the number of seconds where that is not exact."""
    try:
        exact = seconds(text(value)) == value
    except ValueError:  # a number such as 1e+07 is no duration with a unit
        exact = False
    return repr(text(value) if exact else value)


def _some(value: object) -> str | None:
    return repr(value) if value else None


def _topology(topology: Topology, usual: Topology) -> list[str]:
    """Return calls of the fixture `lab` that change the topology with which `lab` begins to that of the plan."""
    workers = _changed(topology.workers, usual.workers)
    count = workers.pop("count", topology.workers.count)
    more = _changed(topology, usual)
    more.pop("workers", None)
    lines = [_call("lab.workers", str(count), data=workers)] if topology.workers != usual.workers else []
    return lines + ([_call("lab.topology", data=more)] if more else [])


def _changed(value: Topology | Workers, usual: Topology | Workers) -> dict[str, Any]:
    now, before = vars(value), vars(usual)
    return {name: dict(now[name]) if isinstance(now[name], Mapping) else now[name] for name in now
            if now[name] != before[name]}  # fmt: skip


def _load(load: Load) -> str:
    operation, every, count = load.operation, _time(load.every), _some(load.count)
    lasting = _time(load.lasting) if load.lasting is not None else None
    if isinstance(operation, Submit):
        values: Sequence[Any] = (operation.task, *operation.args)
        written = _call("submit", *map(repr, values), data=operation.kwargs, every=every, count=count)
        if operation.options:
            written += _call(".with_options", data=operation.options)
        if lasting:
            written += f".until({lasting})"
    else:
        assert isinstance(operation, Http)
        json = None if operation.json is None else repr(operation.json)
        own = {
            "json": json,
            "headers": _some(dict(operation.headers)),
            "every": every,
            "count": count,
            "lasting": lasting,
        }
        written = _call(operation.method.lower(), repr(operation.path), data=None, **own)
    return f"{written}.on({_trigger(load.when)})" if load.when else written


def _injection(injection: Injection) -> str:
    on = "" if injection.at_its_point else f", on={injection.on!r}"
    heal = f", heal={_trigger(injection.heal)}" if injection.heal else ""
    return f"{injection.fault}{on}, when={_trigger(injection.when)}{heal}"


def _trigger(trigger: Trigger) -> str:
    if trigger.kind is None:
        return f"{'after' if trigger.since == 'fault' else 'at'}({_time(trigger.delay)})"
    if place := trigger.place:
        return _call("point", repr(place.edge), repr(place.command), data={"nth": place.nth, "moment": place.moment})
    nth = repr(trigger.nth) if trigger.nth > 1 else None
    delay = _time(trigger.delay) if trigger.delay else None
    if trigger.kind in SHORT and trigger.source:
        worker = repr(trigger.source) if trigger.source != "worker" else None
        return _call(trigger.kind, nth=nth, source=worker, delay=delay, data=trigger.data)
    source = (repr(trigger.source),) if trigger.source else ()
    return _call("event", repr(trigger.kind), *source, nth=nth, delay=delay, data=trigger.data)
