"""What a rule is, and the registry of rules."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

from brownout.lint.facts import Facts


@dataclass(frozen=True)
class Cell:
    """A bad cell of a stored map of stock Celery, which anybody can try again."""

    config: str
    cell: str

    @property
    def command(self) -> str:
        """What to type to see it."""
        config = () if self.config == "defaults" else ("--config", self.config)
        return shlex.join(["brownout", "map", self.cell, *config])


@dataclass(frozen=True)
class Scenario:
    """A test of brownout's repository that shows it."""

    test: str

    @property
    def command(self) -> str:
        """What to type to see it."""
        return shlex.join(["pytest", self.test])


@dataclass(frozen=True)
class Found:
    """One place where a rule holds. `what` is a sentence with the names and numbers of this application."""

    where: str
    what: str


Look = Callable[[Facts], Iterable[Found]]


@dataclass(frozen=True)
class Rule:
    """One thing that goes wrong.

    `looks_at` says when the rule holds, `sentence` what goes wrong then, `mend` what to set. `shown` shows it.
    """

    id: str
    looks_at: str
    sentence: str
    mend: str
    shown: Cell | Scenario
    look: Look

    def findings(self, facts: Facts) -> Iterator[Finding]:
        """The places where the rule holds."""
        return (Finding(self, found.where, found.what) for found in self.look(facts))


@dataclass(frozen=True)
class Finding:
    """A rule that holds somewhere."""

    rule: Rule
    where: str
    what: str

    def as_json(self) -> Mapping[str, str]:
        """The finding, with its rule's sentence, mend and proof."""
        rule = self.rule
        return {
            **{"rule": rule.id, "where": self.where, "what": self.what, "goes_wrong": rule.sentence},
            **{"mend": rule.mend, "shown_by": rule.shown.command},
        }


RULES: dict[str, Rule] = {}


def rule(id: str, *, looks_at: str, goes_wrong: str, mend: str, shown: Cell | Scenario) -> Callable[[Look], Look]:
    """Register a function as the rule `id`."""

    def register(look: Look) -> Look:
        if id in RULES:
            raise ValueError(f"two rules are called {id!r}")
        RULES[id] = Rule(id, looks_at, goes_wrong, mend, shown, look)
        return look

    return register
