"""The registry of checkers. A checker and its promise are one function.

The signature of that function, after the history, is what an author of scenarios writes: `@checker(...)` makes a
constructor of promises of it and keeps the function, with which `judge` reaches a verdict.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Concatenate, ParamSpec

from brownout.check.arguments import Arguments
from brownout.check.verdict import Ruling, Verdict
from brownout.history.view import History
from brownout.plan.near import known
from brownout.plan.promise import Promise

P = ParamSpec("P")


@dataclass(frozen=True)
class Checker:
    """A checker: its function, the kinds of anomaly it can find, and which of them are measured in time.

    A checker gives a timed anomaly for sure only when the lower end of the measured time is over the limit, see
    check/interval.py. `make` is the constructor of its promises; the first line of its docstring is `row`.
    """

    rule: Callable[..., Ruling]
    make: Callable[..., Promise]
    arguments: Arguments
    anomalies: tuple[str, ...] = ()
    timed: tuple[str, ...] = ()

    @property
    def row(self) -> str:
        """The first line of the docstring."""
        return (self.make.__doc__ or "").strip().partition("\n")[0]


#: Filled by `@checker` when `brownout.check` is imported.
CHECKERS: dict[str, Checker] = {}


def checker(
    *,
    anomalies: Iterable[str] = (),
    timed: Iterable[str] = (),
    refuse: Callable[..., None] | None = None,
) -> Callable[[Callable[Concatenate[History, P], Ruling]], Callable[P, Promise]]:
    """Register a function of a history as a checker; its name becomes the constructor of its promises.

    `anomalies` are the kinds of anomaly it can find, `timed` those of them that are measured in time. The constructor
    checks the arguments and keeps them as JSON: a `Duration` in seconds, a `Literal` one of its values, a set as a
    sorted list, a promise by its name. `refuse` takes the same arguments and raises ValueError for what makes no sense.
    Raises ValueError when the name is taken by another function, or a timed kind is not among the anomalies.
    """
    kinds, measured = tuple(anomalies), tuple(timed)

    def register(rule: Callable[Concatenate[History, P], Ruling]) -> Callable[P, Promise]:
        arguments = Arguments(rule)
        name = arguments.name
        if strange := [kind for kind in measured if kind not in kinds]:
            raise ValueError(f"{name} does not find what it measures in time: {', '.join(strange)}")
        if name in CHECKERS and arguments.place != CHECKERS[name].arguments.place:
            raise ValueError(f"two checkers are called {name!r}")

        def make(*args: P.args, **kwargs: P.kwargs) -> Promise:
            given = arguments.normal(args, kwargs)
            if refuse:
                refuse(**arguments.given(given))
            return Promise(name, given)

        arguments.dress(make)
        CHECKERS[name] = Checker(rule, make, arguments, kinds, measured)
        return make

    return register


def rule(history: History, promise: Promise) -> Ruling:
    """What the checker of a promise finds in a history. Raises what the checker raises, and UnknownName."""
    entry = CHECKERS[known("promise", promise.name, CHECKERS)]
    return entry.rule(history, **entry.arguments.given(promise.args))


def judge(history: History, promise: Promise) -> Verdict:
    """The verdict on one promise. Unknown: nothing was recorded, the checker broke, or what the checker says.

    A busy machine makes nothing unknown but a time whose limit lies inside the measured interval.
    """
    known("promise", promise.name, CHECKERS)
    if not len(history):
        return Ruling(doubt="the history is empty").on(promise)
    try:
        return rule(history, promise).on(promise)
    except Exception as error:
        return Ruling(doubt=f"the checker broke: {type(error).__name__}: {error}").on(promise)


def judge_all(history: History, promises: Iterable[Promise]) -> tuple[Verdict, ...]:
    """One verdict for each promise, in their order."""
    return tuple(judge(history, promise) for promise in promises)


def finder_of(kind: str) -> str:
    """The first promise that can be broken by this kind of anomaly; UnknownName when there is none."""
    finders = {kind: name for name, entry in reversed(CHECKERS.items()) for kind in entry.anomalies}
    return finders[known("anomaly", kind, finders)]
