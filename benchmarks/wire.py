"""What the wire costs: direct, through the built-in wire with its history on, with the map's codec too, and through a
real Toxiproxy.

    python -m benchmarks.wire [--rounds 7] [--requests 20000] [--latency 2000] [--pipeline 1] [--loop NAME]

Every round runs one slice of each path back to back, in turn, so that a busy machine hits all of them; quote the
ratios of a round, never absolute numbers. CPU is the proxy process's own, over the requests of redis-benchmark (c=50,
SET). Latency is that of one client that waits for each PING, as median; "added" is over the direct slice of the same
round. Needs redis-server and redis-benchmark on PATH, toxiproxy-server to compare with.
"""

# ruff: noqa: T201 - a script prints

from __future__ import annotations

import argparse
import csv
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import get_args

from brownout.subject.ports import free_port
from brownout.subject.processes.process import Process
from brownout.subject.servers import toxiproxy_server
from brownout.subject.waiting import eventually
from brownout.wire.tcp.wire import LoopName, default_loop

# The callback writes as the recorder does: one O_APPEND line an event. With the codec every request is framed, named
# and counted, as in a trial of a fault map; each slice has a conductor of its own, as each trial has.
SERVE = """
import os, sys, time
from brownout.wire.redis.conductor import Conductor
from brownout.wire import Wire
redis, history, name, loop = sys.argv[1:]
log = os.open(history, os.O_APPEND | os.O_CREAT | os.O_WRONLY)
def on_event(kind, data):
    os.write(log, f"{time.monotonic_ns()} {kind} {data}\\n".encode())
edge = Wire(loop=loop, on_event=on_event).start().edge("benchmark", redis)
print(edge.port, flush=True)
for line in sys.stdin:
    if name == "codec":
        edge.direct(Conductor(lambda hit: None, counting=True))
    print(flush=True)
"""


@dataclass
class Way:
    """One way to Redis, and the process that is in between."""

    name: str
    port: int
    pid: int | None = None
    renew: Callable[[], object] = lambda: None  # before each slice

    def cpu(self) -> float:
        """µs the proxy has used so far."""
        if self.pid is None:
            return 0.0
        return time.clock_gettime(~self.pid << 3 | 2) * 1e6  # its CPU-time clock: clock_getcpuclockid(3), to the ns


def throughput(path: Way, requests: int, pipeline: int = 1) -> tuple[float, float, float]:
    """Requests a second, the 99th percentile of their latency (ms), and the proxy's CPU µs for each."""
    argv = ["redis-benchmark", "-p", str(path.port), "-t", "set", "-c", "50"]
    argv += ["-n", str(requests), "-P", str(pipeline), "--csv"]
    path.renew()
    before = path.cpu()
    out = subprocess.run(argv, check=True, capture_output=True, text=True, timeout=300).stdout
    used = path.cpu() - before
    (row,) = csv.DictReader(out[out.index('"test"') :].splitlines())
    return float(row["rps"]), float(row["p99_latency_ms"]), used / requests


def latency(path: Way, requests: int) -> float:
    """Median µs of a PING by one client that waits for each answer."""
    took = []
    with socket.create_connection(("127.0.0.1", path.port)) as sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for _ in range(requests):
            begun = time.perf_counter_ns()
            sock.sendall(b"PING\r\n")
            sock.recv(64)
            took.append(time.perf_counter_ns() - begun)
    return statistics.median(took) / 1000


def renewed(wire: subprocess.Popen[str]) -> None:
    """It has a new conductor."""
    assert wire.stdin
    assert wire.stdout
    wire.stdin.write("\n")
    wire.stdin.flush()
    wire.stdout.readline()


def spread(values: list[float], digits: int = 2) -> str:
    """Median, and the range."""
    return f"{statistics.median(values):.{digits}f} ({min(values):.{digits}f}-{max(values):.{digits}f})"


def paths(stack: ExitStack, folder: Path, loop: str) -> list[Way]:
    """Start Redis and what stands before it; the wire on this kind of loop."""
    port = free_port()
    argv = ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(folder)]
    redis = stack.enter_context(Process.launch("redis", argv, log=folder / "redis.log"))
    direct = Way("direct", port)
    eventually(lambda: latency(direct, 1), within=10, what="Redis answers", evidence=redis.tail, ignoring=OSError)
    found = [direct]
    for name in ("wire", "codec"):
        wire = subprocess.Popen(
            [sys.executable, "-c", SERVE, f"127.0.0.1:{port}", str(folder / "history"), name, loop],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        stack.callback(wire.communicate, "", timeout=10)
        assert wire.stdout
        found.append(Way(name, int(wire.stdout.readline()), wire.pid, partial(renewed, wire)))
    if shutil.which("toxiproxy-server"):
        toxiproxy = stack.enter_context(toxiproxy_server.started(folder / "toxiproxy.log"))
        found.append(Way("toxiproxy", toxiproxy.edge("benchmark", f"127.0.0.1:{port}").port, toxiproxy.pid))
    return found


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--requests", type=int, default=20_000)
    parser.add_argument("--latency", type=int, default=2_000)
    parser.add_argument("--pipeline", type=int, default=1, help="requests that are sent together (default: 1)")
    parser.add_argument("--loop", choices=get_args(LoopName), default=default_loop(), help="(default: %(default)s)")
    chosen = parser.parse_args()
    rate: dict[str, list[float]] = {}
    cpu: dict[str, list[float]] = {}
    slowest: dict[str, list[float]] = {}
    wait: dict[str, list[float]] = {}
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        ways = paths(stack, folder, chosen.loop)
        for way in ways:  # warm
            throughput(way, 2000)
        for turn in range(chosen.rounds):
            order = ways[turn % len(ways) :] + ways[: turn % len(ways)]
            for way in order:
                per_second, p99, used = throughput(way, chosen.requests, chosen.pipeline)
                rate.setdefault(way.name, []).append(per_second / 1000)
                slowest.setdefault(way.name, []).append(p99)
                cpu.setdefault(way.name, []).append(used)
            for way in order:
                wait.setdefault(way.name, []).append(latency(way, chosen.latency))
    added = {name: [w - d for w, d in zip(each, wait["direct"], strict=True)] for name, each in wait.items()}
    what = f"{chosen.rounds} rounds, SET P={chosen.pipeline} c=50 n={chosen.requests}"
    print(f"{what}; the wire on {chosen.loop}; load {os.getloadavg()[0]:.1f}")
    titles = ("path", "CPU µs/request", "thousand req/s", "of direct", "p99 ms", "median PING µs", "added µs")
    print("{:10} {:18} {:20} {:18} {:18} {:18} {}".format(*titles))
    for name in rate:
        share = [one / d for one, d in zip(rate[name], rate["direct"], strict=True)]
        busy = f"{spread(cpu[name], 1):18} {spread(rate[name], 1):20} {spread(share):18} {spread(slowest[name], 1):18}"
        print(f"{name:10} {busy} {spread(wait[name], 0):18} {spread(added[name], 0)}")
    for name, aim in (("wire", 0.8), ("codec", 1.0)) if "toxiproxy" in rate else ():
        ours = [w / t for w, t in zip(cpu[name], cpu["toxiproxy"], strict=True)]
        slower = [w / t for w, t in zip(added[name], added["toxiproxy"], strict=True)]
        print(f"{name} / toxiproxy: CPU a request {spread(ours)} (aim {aim}), added median latency {spread(slower)}")


if __name__ == "__main__":
    main()
