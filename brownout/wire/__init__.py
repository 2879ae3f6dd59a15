"""The network between the parts of a subject: edges, and what goes wrong on them."""

from brownout.wire.armed import Acted, Counters
from brownout.wire.edge import Edge
from brownout.wire.errors import AlreadyExists, BadRequest, NotFound, Unreachable, WireError
from brownout.wire.toxics import (
    KINDS,
    Toxic,
    bandwidth,
    blackhole,
    down,
    half_open,
    latency,
    limit_data,
    noop,
    reset_peer,
    rst,
    slicer,
    slow_close,
    spike,
    swallow,
    timeout,
)
from brownout.wire.wire import Wire

__all__ = [
    "KINDS",
    "Acted",
    "AlreadyExists",
    "BadRequest",
    "Counters",
    "Edge",
    "NotFound",
    "Toxic",
    "Unreachable",
    "Wire",
    "WireError",
    "bandwidth",
    "blackhole",
    "down",
    "half_open",
    "latency",
    "limit_data",
    "noop",
    "reset_peer",
    "rst",
    "slicer",
    "slow_close",
    "spike",
    "swallow",
    "timeout",
]
