"""The network between the parts of a subject (the system under test): network edges, and toxics (Toxiproxy's word for
network faults) that disturb them."""

from brownout.wire.errors import AlreadyExists, BadRequest, NotFound, Unreachable, WireError
from brownout.wire.tcp.armed import Acted, Counters
from brownout.wire.tcp.edge import Edge
from brownout.wire.tcp.toxics import (
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
from brownout.wire.tcp.wire import Wire

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
