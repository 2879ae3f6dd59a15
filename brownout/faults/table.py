"""The table of all faults, in Markdown."""

from __future__ import annotations

from brownout.plan.fault import FAULTS, Fault, FaultKind


def markdown() -> str:
    """A table in Markdown with a row for each kind of fault; the network faults come last."""
    head = "| fault | what happens | targets | wires | heals | weaker |\n|---|---|---|---|---|---|\n"
    kinds = sorted(FAULTS.values(), key=lambda kind: (bool(kind.wires), kind.name))
    return head + "\n".join(_row(kind) for kind in kinds)


def _row(kind: FaultKind) -> str:
    wires = " ".join(sorted(kind.wires)) or "none needed"
    weaker = " ".join(dict.fromkeys(f"`{variant.name}`" for variant in kind.weaker(_example(kind)))) or "none"
    targets = "" if kind.needs_point else " ".join(sorted(kind.targets))
    moments = f"a point ({' or '.join(kind.moments)})" if kind.moments else ""
    where = ", or ".join(filter(None, (targets, moments)))
    return f"| `{kind.name}` | {kind.row} | {where} | {wires} | {kind.heal} | {weaker} |"


def _example(kind: FaultKind) -> Fault:
    """A fault of this kind with arguments that can be weakened."""
    parameters = kind.make.__annotations__
    examples = {"delay": 1.0, "rate": 8, "size": 8, "bytes": 8, "times": 2, "state": "oom", "pattern": "*"}
    return kind.make(**{name: value for name, value in examples.items() if name in parameters})
