"""The table of all faults, in Markdown."""

from __future__ import annotations

from brownout.plan.fault import FAULTS, Fault, FaultKind


def markdown() -> str:
    """A table in Markdown, a row for each kind of fault, those of the network last."""
    head = "| fault | what happens | targets | wires | heals | weaker |\n|---|---|---|---|---|---|\n"
    kinds = sorted(FAULTS.values(), key=lambda kind: (bool(kind.wires), kind.name))
    return head + "\n".join(_row(kind) for kind in kinds)


def _row(kind: FaultKind) -> str:
    wires = " ".join(sorted(kind.wires)) or "none needed"
    weaker = " ".join(dict.fromkeys(f"`{each.name}`" for each in kind.weaker(_example(kind)))) or "none"
    targets = "" if kind.needs_point else " ".join(sorted(kind.targets))
    moments = f"a point ({' or '.join(kind.moments)})" if kind.moments else ""
    where = ", or ".join(filter(None, (targets, moments)))
    return f"| `{kind.name}` | {kind.row} | {where} | {wires} | {kind.heal} | {weaker} |"


def _example(kind: FaultKind) -> Fault:
    """A fault of this kind with something to weaken in what must be given."""
    taken = kind.make.__annotations__
    given = {"delay": 1.0, "rate": 8, "size": 8, "bytes": 8, "times": 2, "state": "oom"}
    return kind.make(**{name: value for name, value in given.items() if name in taken})
