"""Findings of `brownout lint` as text: each rule once, with the places to which the rule applies."""

from __future__ import annotations

from collections.abc import Sequence

from brownout.lint.rule import Finding
from brownout.report.clean import clean

PLACES = 5  # The largest number of places that are shown for one rule.


def text(findings: Sequence[Finding], rules: int) -> str:
    """Return the findings by rule as text, and a line with the number of findings; `rules` is the number of rules that
    were checked."""
    lines: list[str] = []
    for rule in dict.fromkeys(finding.rule for finding in findings):
        places = [finding for finding in findings if finding.rule == rule]
        lines += [f"✗ {rule.id}: {rule.sentence}"]
        lines += [f"    {clean(f'{place.where}: {place.what}')}" for place in places[:PLACES]]
        lines += [f"    and {len(places) - PLACES} more"] if len(places) > PLACES else []
        lines += [f"  Mend      {rule.mend}", f"  Shown by  {rule.shown.command}", ""]
    broken = len({finding.rule for finding in findings})
    lines.append(
        f"findings: {len(findings)}, by {broken} of {rules} rules" if findings else f"no findings by {rules} rules"
    )
    return "\n".join(lines) + "\n"
