"""The table of all promises, in Markdown."""

from __future__ import annotations

import inspect

from brownout.check.registry import CHECKERS, Checker


def markdown() -> str:
    """A row for each promise: how it is written, what must hold, and which anomalies break it."""
    head = "| promise | what must hold | anomalies |\n|---|---|---|\n"
    return head + "\n".join(_row(name, CHECKERS[name]) for name in sorted(CHECKERS))


def _row(name: str, checker: Checker) -> str:
    parameters = inspect.signature(checker.make).parameters.values()
    written = ", ".join(
        each.name if each.default is each.empty else f"{each.name}={each.default!r}" for each in parameters
    )
    found = ", ".join(f"{kind} (time)" if kind in checker.timed else kind for kind in checker.anomalies)
    return f"| `{name}({written})` | {checker.row} | {found or 'none: it is valid or unknown'} |"
