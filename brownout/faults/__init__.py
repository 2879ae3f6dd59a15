"""The faults that a scenario may inject. Importing this package fills the registry brownout.plan.fault.FAULTS."""

from brownout.faults.broker import (
    disconnect,
    evict_key,
    flush,
    freeze,
    loading,
    out_of_clients,
    out_of_memory,
    read_only,
)
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
from brownout.faults.replies import error_reply, hold, lose_reply, tear_reply

__all__ = [
    "bandwidth", "blackhole", "cold_shutdown", "cut", "disconnect", "error_reply", "evict_key", "flap", "flush",
    "freeze", "half_open", "hold", "kill", "kill_child", "latency", "limit_data", "loading", "lose_reply",
    "out_of_clients", "out_of_memory", "read_only", "refuse", "reset", "reset_peer", "slicer", "slow_close", "spike",
    "stop", "tear_reply", "terminate", "vanish",
]  # fmt: skip
