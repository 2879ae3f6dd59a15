"""Starts a Toxiproxy server, and makes the object (a wire) that controls it."""

from __future__ import annotations

import shutil
from pathlib import Path

from brownout.subject.ports import HOST, free_port
from brownout.subject.processes.process import Process
from brownout.subject.waiting import NeverHappened, eventually
from brownout.wire.errors import Unreachable
from brownout.wire.toxiproxy.adapter import OnEvent, ToxiproxyWire

START_WITHIN = 5.0  # the seconds within which the server must answer


def started(log: Path, *, seed: int = 0, on_event: OnEvent | None = None) -> ToxiproxyWire:
    """Start the program `toxiproxy-server`, which must be on PATH. Raises Unreachable when the program is missing or
    does not answer.

    The server takes a seed, but its random numbers do not repeat, because its goroutines draw them in no fixed order.
    """
    program = shutil.which("toxiproxy-server")
    if program is None:
        raise Unreachable("no toxiproxy-server on PATH")
    port = free_port()
    argv = [program, "-host", HOST, "-port", str(port), "-seed", str(seed)]
    process = Process.launch("toxiproxy", argv, log=log)
    try:
        wire = ToxiproxyWire(HOST, port, on_event=on_event, server=process)
        eventually(
            wire.version, within=START_WITHIN, what="Toxiproxy answers", evidence=process.tail, ignoring=Unreachable
        )
    except BaseException as error:
        process.kill()
        if isinstance(error, NeverHappened):
            raise Unreachable(str(error)) from error
        raise
    return wire
