"""All rules of `brownout lint`, and their table in Markdown."""

from __future__ import annotations

from brownout.lint import routes, settings, tasks
from brownout.lint.rule import RULES

__all__ = ["RULES", "markdown", "routes", "settings", "tasks"]


def markdown() -> str:
    """Return a table with a row for each rule."""
    head = "| rule | looks at | what goes wrong | what to set | shown by |\n|---|---|---|---|---|"
    rows = (
        f"| `{rule.id}` | {rule.looks_at} | {rule.sentence} | {rule.mend} | `{rule.shown.command}` |"
        for rule in RULES.values()
    )
    return "\n".join([head, *rows])
