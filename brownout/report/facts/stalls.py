"""The stalls of an event loop: how long, in which code, and what they slowed down."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from brownout.check.promises.timed.stall import distinct_stalls
from brownout.history.event import Event
from brownout.history.view import History


@dataclass(frozen=True)
class Stall:
    """An event loop stood still. `own` is the innermost frame of the application's code, "" when there was none.

    `inner` is the innermost frame of all, `libraries` the number of frames of libraries below `own`. `waiting` are the
    requests that waited meanwhile; `slowest` (ns) is the longest time that one of them took.
    """

    begin: int
    end: int
    source: str
    own: str
    inner: str
    libraries: int
    waiting: int
    slowest: int


@dataclass(frozen=True)
class Slowness:
    """The 99th percentile (ns) of the requests that met a stall, and of the other requests; None without requests."""

    during: int | None
    otherwise: int | None


def stalls(history: History, least: float = 0.0) -> tuple[Stall, ...]:
    """All stalls of at least `least` milliseconds, the longest first, each of them once."""
    events = [event for event in distinct_stalls(history) if event.kind == "stall" and event.data["ms"] >= least]
    spans = _requests(history)
    return tuple(sorted((_stall(event, spans) for event in events), key=lambda stall: stall.begin - stall.end))


def _stall(event: Event, spans: Sequence[tuple[int, int]]) -> Stall:
    begin = int(event.at - event.data["ms"] * 1e6)
    stack = [str(frame) for frame in event.data.get("stack") or ()]
    own = str(event.data.get("own") or "")
    met = [end - start for start, end in spans if start <= event.at and end >= begin]
    below = len(stack) - 1 - stack.index(own) if own in stack else len(stack)
    inner = stack[-1] if stack else ""
    return Stall(begin, event.at, event.source, own, inner, below, len(met), max(met, default=0))


def slowness(history: History, found: Sequence[Stall]) -> Slowness:
    """How slow the requests were that met one of the stalls, beside the others."""
    during, otherwise = list[int](), list[int]()
    for start, end in _requests(history):
        met = any(start <= stall.end and end >= stall.begin for stall in found)
        (during if met else otherwise).append(end - start)
    return Slowness(_p99(during), _p99(otherwise))


def _requests(history: History) -> list[tuple[int, int]]:
    return [
        (int(sent.data.get("intended", sent.at)), end.at if end else history.end)
        for op in history.ops.values()
        for sent, end in op.tries
        if sent.data.get("op") == "http"
    ]


def _p99(times: list[int]) -> int | None:
    return sorted(times)[math.ceil(0.99 * len(times)) - 1] if times else None
