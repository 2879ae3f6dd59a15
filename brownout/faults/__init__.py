"""What can go wrong. Importing this fills the registry: brownout.plan.fault.FAULTS."""

from brownout.faults.broker import disconnect, flush, freeze, loading, out_of_clients, out_of_memory, read_only
from brownout.faults.network import (
    bandwidth,
    blackhole,
    cut,
    flap,
    half_open,
    latency,
    limit_data,
    refuse,
    reset,
    reset_peer,
    slicer,
    slow_close,
    spike,
    vanish,
)
from brownout.faults.process import cold_shutdown, kill, kill_child, stop, terminate

__all__ = [
    "bandwidth", "blackhole", "cold_shutdown", "cut", "disconnect", "flap", "flush", "freeze", "half_open", "kill",
    "kill_child", "latency", "limit_data", "loading", "out_of_clients", "out_of_memory", "read_only", "refuse",
    "reset", "reset_peer", "slicer", "slow_close", "spike", "stop", "terminate", "vanish",
]  # fmt: skip
