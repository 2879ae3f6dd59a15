"""Tells a stall of the event loop: its length once, the application's own code first, then what it slowed down."""

from __future__ import annotations

from collections.abc import Iterator

from brownout.report.clean import clean
from brownout.report.facts.stalls import Slowness, Stall
from brownout.report.text.clock import length, since


def stalled(stalls: tuple[Stall, ...], slowness: Slowness | None, zero: int) -> Iterator[str]:
    """The longest stall, the code that caused it, and its consequences."""
    longest = stalls[0]
    more = f"; {len(stalls) - 1} shorter" if len(stalls) > 1 else ""
    begin = since(longest.begin - zero)
    yield f"{clean(longest.source, 20)} stood still for {length(longest.end - longest.begin)} from {begin}{more}"
    if longest.own:
        yield f"in       {clean(longest.own, 120)}"
    if longest.libraries:
        frames = "1 library frame" if longest.libraries == 1 else f"{longest.libraries} library frames"
        yield f"below    {frames} down to {clean(longest.inner, 120)}"
    if longest.waiting:
        requests = "1 request waited" if longest.waiting == 1 else f"{longest.waiting} requests waited"
        yield f"so       {requests} meanwhile, the slowest {length(longest.slowest)}{_p99(slowness)}"


def _p99(slowness: Slowness | None) -> str:
    if slowness is None or slowness.during is None:
        return ""
    beside = f", {length(slowness.otherwise)} otherwise" if slowness.otherwise is not None else ""
    return f"; p99 {length(slowness.during)} beside a stall{beside}"
