"""The table of the kit's faults, in Markdown."""

from __future__ import annotations

from inspect import signature

from brownout.plan.fault import FAULTS, Fault, FaultKind


def markdown() -> str:
    """A table in Markdown with a row for each of the kit's kinds of fault; the network faults come last. Faults that a
    project has registered in this process are left out."""
    head = "| fault | what happens | targets | wires | heals | weaker |\n|---|---|---|---|---|---|\n"
    own = [kind for kind in FAULTS.values() if kind.make.__module__.startswith("brownout.")]
    kinds = sorted(own, key=lambda kind: (bool(kind.wires), kind.name))
    return head + "\n".join(_row(kind) for kind in kinds)


def _row(kind: FaultKind) -> str:
    wires = " ".join(sorted(kind.wires)) or "none needed"
    weaker = " ".join(dict.fromkeys(f"`{variant.name}`" for variant in kind.weaker(example(kind)))) or "none"
    targets = "" if kind.needs_point else " ".join(sorted(kind.targets))
    moments = f"a point ({' or '.join(kind.moments)})" if kind.moments else ""
    where = ", or ".join(filter(None, (targets, moments)))
    return f"| `{kind.name}` | {kind.row} | {where} | {wires} | {kind.heal} | {weaker} |"


def example(kind: FaultKind) -> Fault:
    """A fault of this kind with arguments that can be weakened; a required argument gets a value of its type."""
    examples: dict[str, object] = {"delay": 1.0, "rate": 8, "size": 8, "bytes": 8, "times": 2, "state": "oom"}
    types: dict[str, object] = {"str": "*", "int": 1, "float": 1.0, "bool": True, "Duration": 1.0}
    parameters = [item for item in signature(kind.make).parameters.values() if item.kind != item.VAR_KEYWORD]
    required = {item.name: types.get(item.annotation, 1.0) for item in parameters if item.default is item.empty}
    chosen = {item.name: examples[item.name] for item in parameters if item.name in examples}
    return kind.make(**required | chosen)
