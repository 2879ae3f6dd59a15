"""The table of all promises, in Markdown."""

from __future__ import annotations

import inspect

from brownout.check.registry import CHECKERS, Checker


def markdown() -> str:
    """A row for each promise: how an author writes the promise, what must hold, and which anomalies break it."""
    head = "| promise | what must hold | anomalies |\n|---|---|---|\n"
    return head + "\n".join(_row(name, CHECKERS[name]) for name in sorted(CHECKERS))


def _row(name: str, checker: Checker) -> str:
    parameters = inspect.signature(checker.make).parameters.values()
    arguments = ", ".join(
        parameter.name if parameter.default is parameter.empty else f"{parameter.name}={parameter.default!r}"
        for parameter in parameters
    )
    kinds = ", ".join(f"{kind} (time)" if kind in checker.timed else kind for kind in checker.anomalies)
    return f"| `{name}({arguments})` | {checker.row} | {kinds or 'none: the verdict is valid or unknown'} |"
