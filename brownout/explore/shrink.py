"""Makes a plan smaller step by step, as long as a function says that the smaller plan still breaks the same promise."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal, TypeVar

from brownout.plan.duration import text
from brownout.plan.operation import Load
from brownout.plan.plan import Plan

Came = Literal["same", "other", "unknown"]
SHORTEST = 0.1  # seconds; a load that lasts at most this time is not made shorter
T = TypeVar("T")


@dataclass(frozen=True)
class Step:
    """A step of shrinking: a smaller plan, and a text that says what was made smaller."""

    plan: Plan
    what: str


Stage = Callable[[Plan], Iterator[Step]]


def shrink(plan: Plan, keeps: Callable[[Step], bool]) -> Iterator[Step]:
    """Yield each accepted step of shrinking; the last step has the smallest plan. The function `keeps` says whether a
    smaller plan still breaks the promise; it is called once for each plan.

    The last plan cannot be made smaller: When the last plan was reached, `keeps` had refused every plan with one fault
    or load less, with a weaker variant of a fault, with one operation less, and with half the time of a load.
    """
    refused, before = {plan.id}, None
    while plan.id != before:
        before = plan.id
        for stage in STAGES:
            while step := next((step for step in _possible(stage, plan, refused) if keeps(step)), None):
                plan = step.plan
                yield step


def _possible(stage: Stage, plan: Plan, refused: set[str]) -> Iterator[Step]:
    """Yield the smaller plans that are valid and were not tried before."""
    for step in stage(plan):
        try:
            step.plan.validated()
        except ValueError:
            continue
        if step.plan.id not in refused:
            # plans that were accepted are not tried again, and neither are plans that were refused
            refused.add(step.plan.id)
            yield step


def confirmed(attempt: Callable[[], Came], times: int, of: int, again: int = 1) -> bool:
    """Return whether `times` of at most `of` attempts return "same"; when the answer is certain, no further attempt is
    made.

    An attempt that returns "unknown" is repeated. At most `again` attempts may return "unknown"; after one more such
    attempt the function returns False.
    """
    same = other = unknown = 0
    while same < times and other <= of - times and unknown <= again:
        came = attempt()
        same, other, unknown = same + (came == "same"), other + (came == "other"), unknown + (came == "unknown")
    return same >= times


# --- the stages of shrinking; each stage tries large steps before small steps


def fewer_injections(plan: Plan) -> Iterator[Step]:
    """Yield plans with fewer faults: with no fault, with some of the faults, without some of them."""
    for kept in _fewer(plan.injections, least=0):
        first, *others = kept or (None,)
        # The first remaining injection cannot wait for an earlier injection, because there is none.
        injections = (replace(first, then=False), *others) if first else ()
        yield Step(replace(plan, injections=injections), _left("faults", plan.injections, kept))


def fewer_loads(plan: Plan) -> Iterator[Step]:
    """Yield plans with fewer loads, but at least one load."""
    for kept in _fewer(plan.load, least=1):
        operations = [load.operation for load in kept]
        yield Step(replace(plan, load=kept), _left("loads", plan.load, operations))


def smaller_loads(plan: Plan) -> Iterator[Step]:
    """Yield the plan with fewer operations in one load, or with half the time of one load."""
    for n, load in enumerate(plan.load):
        for less in _less(load):
            size = f"{less.count} instead of {load.count} times" if load.count else f"for {text(less.lasting or 0)}"
            yield Step(replace(plan, load=_with(plan.load, n, less)), f"{load.operation} {size}")


def weaker_faults(plan: Plan) -> Iterator[Step]:
    """Yield the plan with a weaker variant of one fault, the strongest variant first."""
    for n, injection in enumerate(plan.injections):
        for fault in injection.fault.kind.weaker(injection.fault):
            injections = _with(plan.injections, n, replace(injection, fault=fault))
            yield Step(replace(plan, injections=injections), f"{fault} instead of {injection.fault}")


STAGES: tuple[Stage, ...] = (fewer_injections, fewer_loads, smaller_loads, weaker_faults)


def _fewer(items: Sequence[T], least: int) -> Iterator[tuple[T, ...]]:
    """Yield smaller parts of the items, as delta debugging does: first `least` items; then single chunks, and all items
    without a chunk. At first a chunk has half of the items, at last one item."""
    if len(items) > least:
        yield tuple(items[:least])
    size = len(items) // 2
    while size:
        chunks = [range(begin, min(begin + size, len(items))) for begin in range(0, len(items), size)]
        for chunk in chunks if size > least else ():
            yield tuple(items[n] for n in chunk)
        for chunk in chunks:
            kept = tuple(item for n, item in enumerate(items) if n not in chunk)
            if len(kept) >= least:
                yield kept
        size //= 2


def _less(load: Load) -> Iterator[Load]:
    """Yield smaller loads: with one operation; with half of the operations less, a quarter less, ..., one less; and
    with half the duration."""
    if load.count and load.count > 1:
        yield replace(load, count=1)
        by = load.count // 2
        while by:
            yield replace(load, count=load.count - by)
            by //= 2
    if load.lasting and load.lasting > SHORTEST:
        yield replace(load, lasting=load.lasting / 2)


def _with(items: tuple[T, ...], n: int, new: T) -> tuple[T, ...]:
    return (*items[:n], new, *items[n + 1 :])


def _left(what: str, items: Sequence[object], kept: Sequence[object]) -> str:
    return f"{len(kept)} of {len(items)} {what}: {', '.join(map(str, kept)) or 'none'}"
