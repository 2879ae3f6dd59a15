"""The table of all faults: `python -m brownout.faults.table docs/faults.md` puts it into that file."""

from __future__ import annotations

import sys
from pathlib import Path

import brownout.faults  # noqa: F401 - fills the registry
from brownout.plan.fault import FAULTS, Fault, FaultKind

BEGIN, END = "<!-- faults -->", "<!-- end of faults -->"


def markdown() -> str:
    """A table in Markdown, a row for each kind of fault, those of the network last."""
    head = "| fault | what happens | targets | wires | heals | weaker |\n|---|---|---|---|---|---|\n"
    kinds = sorted(FAULTS.values(), key=lambda kind: (bool(kind.wires), kind.name))
    return head + "\n".join(_row(kind) for kind in kinds)


def _row(kind: FaultKind) -> str:
    wires = " ".join(sorted(kind.wires)) or "none needed"
    weaker = " ".join(dict.fromkeys(f"`{each.name}`" for each in kind.weaker(_example(kind)))) or "none"
    return f"| `{kind.name}` | {kind.row} | {' '.join(sorted(kind.targets))} | {wires} | {kind.heal} | {weaker} |"


def _example(kind: FaultKind) -> Fault:
    """A fault of this kind with something to weaken in what must be given."""
    taken = kind.make.__annotations__
    given = {"delay": 1.0, "rate": 8, "size": 8, "bytes": 8, "times": 2}
    return kind.make(**{name: value for name, value in given.items() if name in taken})


if __name__ == "__main__":
    path = Path(sys.argv[1])
    before, _, rest = path.read_text().partition(BEGIN)
    path.write_text(f"{before}{BEGIN}\n{markdown()}\n{END}{rest.partition(END)[2]}")
