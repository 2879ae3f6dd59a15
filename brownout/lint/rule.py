"""Defines the rules of `brownout lint`, and the registry of all rules."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

from brownout.lint.facts import Facts


@dataclass(frozen=True)
class Cell:
    """A bad cell of a stored fault map of stock Celery; anybody can run the trial of this cell again."""

    config: str
    cell: str

    @property
    def command(self) -> str:
        """The command that runs the trial of this cell."""
        config = () if self.config == "defaults" else ("--config", self.config)
        return shlex.join(["brownout", "map", self.cell, *config])


@dataclass(frozen=True)
class Scenario:
    """A test of brownout's own repository that shows what a rule says."""

    test: str

    @property
    def command(self) -> str:
        """The command that runs this test."""
        return shlex.join(["pytest", self.test])


@dataclass(frozen=True)
class Found:
    """One place in an application to which a rule applies. `what` is a sentence with the names and numbers of this
    application."""

    where: str
    what: str


Look = Callable[[Facts], Iterable[Found]]


@dataclass(frozen=True)
class Rule:
    """A rule of `brownout lint`: one thing that goes wrong in an application with certain settings or code.

    `looks_at` says when the rule applies, `sentence` what then goes wrong, `mend` what to set; `shown` is a cell of a
    map or a test that shows it.
    """

    id: str
    looks_at: str
    sentence: str
    mend: str
    shown: Cell | Scenario
    look: Look

    def findings(self, facts: Facts) -> Iterator[Finding]:
        """Return the places in the application to which the rule applies."""
        return (Finding(self, found.where, found.what) for found in self.look(facts))


@dataclass(frozen=True)
class Finding:
    """A rule that applies to an application, with the places where it applies."""

    rule: Rule
    where: str
    what: str

    def as_json(self) -> Mapping[str, str]:
        """Return the finding as JSON values, with the rule's sentence, mend and proof."""
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
