"""The registry of checkers. A checker is one function, and the function also defines the promise that it judges.

An author of scenarios writes the function's name and its arguments without the history. `@checker(...)` replaces the
function by a function that makes promises, and stores the original function in the registry for `judge`.
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
    """A checker: its function, the kinds of anomaly that it can find, and which kinds are measured in time.

    A timed anomaly is sure only when the lower end of the measured time is over the limit, see check/interval.py.
    `make` is the function that makes the checker's promises.
    """

    rule: Callable[..., Ruling]
    make: Callable[..., Promise]
    arguments: Arguments
    anomalies: tuple[str, ...] = ()
    timed: tuple[str, ...] = ()

    @property
    def row(self) -> str:
        """The first line of the checker's docstring, for tables."""
        return (self.make.__doc__ or "").strip().partition("\n")[0]


#: All checkers by name; `@checker` fills this registry when `brownout.check` is imported.
CHECKERS: dict[str, Checker] = {}


def checker(
    *,
    anomalies: Iterable[str] = (),
    timed: Iterable[str] = (),
    refuse: Callable[..., None] | None = None,
) -> Callable[[Callable[Concatenate[History, P], Ruling]], Callable[P, Promise]]:
    """Register a function of a history as a checker; its name becomes the constructor of its promises.

    `anomalies` are the kinds of anomaly that the checker can find; `timed` are those kinds that are measured in time.
    The constructor checks the arguments and stores them as JSON: a `Duration` in seconds, a `Literal` as one of its
    values, a set as a sorted list, a promise as its name and arguments. The function `refuse` takes the same arguments
    as the promise, and raises ValueError for values that make no sense. Raises ValueError when another function has the
    name already, or when a timed kind is not among the anomalies.
    """
    kinds, measured = tuple(anomalies), tuple(timed)

    def register(rule: Callable[Concatenate[History, P], Ruling]) -> Callable[P, Promise]:
        arguments = Arguments(rule)
        name = arguments.name
        if strange := [kind for kind in measured if kind not in kinds]:
            raise ValueError(f"{name}: `timed` names kinds that `anomalies` does not name: {', '.join(strange)}")
        if name in CHECKERS and arguments.origin != CHECKERS[name].arguments.origin:
            raise ValueError(f"two checkers are called {name!r}")

        def make(*args: P.args, **kwargs: P.kwargs) -> Promise:
            stored = arguments.to_json(args, kwargs)
            if refuse:
                refuse(**arguments.from_json(stored))
            return Promise(name, stored)

        arguments.copy_signature(make)
        CHECKERS[name] = Checker(rule, make, arguments, kinds, measured)
        return make

    return register


def rule(history: History, promise: Promise) -> Ruling:
    """Return what the checker of the promise finds in the history.

    Raises UnknownName, and any exception that the checker raises.
    """
    entry = CHECKERS[known("promise", promise.name, CHECKERS)]
    return entry.rule(history, **entry.arguments.from_json(promise.args))


def judge(history: History, promise: Promise) -> Verdict:
    """The verdict on one promise: unknown if the history is empty, or if the checker raises or is in doubt.

    A busy machine makes a verdict unknown only when a time limit lies inside the interval that was measured. Raises
    UnknownName for a promise without a checker.
    """
    known("promise", promise.name, CHECKERS)
    if not len(history):
        return Ruling(doubt="the history is empty").on(promise)
    try:
        return rule(history, promise).on(promise)
    except Exception as error:
        return Ruling(doubt=f"the checker raised {type(error).__name__}: {error}").on(promise)


def judge_all(history: History, promises: Iterable[Promise]) -> tuple[Verdict, ...]:
    """Return one verdict for each promise, in the order of the promises."""
    return tuple(judge(history, promise) for promise in promises)


def finder_of(kind: str) -> str:
    """Return the first promise that an anomaly of this kind can break. Raises UnknownName when there is no such
    promise."""
    finders = {kind: name for name, entry in reversed(CHECKERS.items()) for kind in entry.anomalies}
    return finders[known("anomaly", kind, finders)]
