"""Carries out network faults on the edges of a running subject."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress

from brownout.faults.lasting import PATIENT, lasting
from brownout.faults.strike import Strike, Striker
from brownout.faults.traffic import has_connections, watch
from brownout.plan.fault import Fault
from brownout.subject.subject import Subject
from brownout.subject.waiting import NeverHappened, eventually
from brownout.wire.interface import AnyEdge
from brownout.wire.tcp.edge import Edge
from brownout.wire.tcp.toxics import Toxic

SERVICES = frozenset({"broker", "backend"})
TARGETS = frozenset({"edge", "worker", "api", "relay", "beat"}) | SERVICES


def reach(subject: Subject, target: str, fault: Fault) -> list[AnyEdge]:
    """Return the edges that a target names. Raises LookupError for no edge, or if the wire cannot do the fault."""
    if subject.wire.kind not in fault.kind.wires:
        able = " or ".join(fault.kind.wires)
        raise LookupError(f"{fault.name} needs the {able} wire; the wire of this trial is {subject.wire.kind}")
    if "->" in target:
        edges = subject.reach(target)
    else:
        end = 2 if target in SERVICES else 0  # edges lead to a service, and begin at a process
        edges = [edge for name, edge in subject.edges.items() if name.partition("->")[end] == target]
    if not edges:
        raise LookupError(f"no edge is called {target!r}; known: {', '.join(subject.edges)}")
    return edges


def toxic_striker(toxics: Callable[[Fault], tuple[Toxic, ...]], *, ends: bool) -> Striker:
    """Make a striker that adds a fault's toxics. With `ends` the evidence is connections that ended, not bytes."""

    def striker(subject: Subject, target: str, fault: Fault) -> Strike:
        edges, armed = reach(subject, target, fault), toxics(fault)
        look = watch(edges, [toxic.name for toxic in armed], ends=ends)
        for edge in edges:
            for toxic in armed:
                edge.add(toxic)
        on = True

        def heal() -> None:
            nonlocal on
            on = False
            for edge in edges:
                for toxic in armed:
                    edge.remove(toxic.name)

        # The kernel also counts bytes after the heal, which are no evidence of the fault.
        return lasting(lambda _: look() if on else "", heal)

    return striker


def refused(subject: Subject, target: str, fault: Fault) -> Strike:
    """Make the edges stop listening. Only closed connections are evidence, because no wire sees the connections that
    the kernel refuses."""
    edges = reach(subject, target, fault)
    look = watch(edges, ["down"], ends=True)
    for edge in edges:
        edge.down()

    def heal() -> None:
        for edge in edges:
            edge.up()

    return lasting(lambda _: look(), heal)


def cut_once(subject: Subject, target: str, fault: Fault) -> Strike:
    """Close the live connections; the edges go on listening."""
    edges = [edge for edge in reach(subject, target, fault) if edge.enabled]  # an edge that is down has no connection
    look = watch(edges, ["cut"], ends=True)
    live = any(has_connections(edge) for edge in edges if not isinstance(edge, Edge))
    for edge in edges:
        edge.cut()
    seen = look()
    if live and not seen:  # Toxiproxy closes the connections soon after its answer
        with suppress(NeverHappened):
            seen = eventually(look, within=PATIENT, what="the connections have ended")
    return Strike(lambda: None, lambda: seen)


def reset_once(subject: Subject, target: str, fault: Fault) -> Strike:
    """Reset every live connection, with an RST to both ends of the connection."""
    counts = {edge.name: edge.reset() for edge in reach(subject, target, fault) if isinstance(edge, Edge)}
    seen = "; ".join(f"{name}: {n} connections reset" for name, n in counts.items() if n)
    return Strike(lambda: None, lambda: seen)


def flapping(subject: Subject, target: str, fault: Fault) -> Strike:
    """Take the edges down and up again in a thread, which ends at the latest when the fault heals."""
    edges, args = reach(subject, target, fault), fault.args
    look, healed = watch(edges, ["down"], ends=True), threading.Event()
    errors: list[Exception] = []

    def run() -> None:
        try:
            for _ in range(args["times"]):
                for edge in edges:
                    edge.down()
                healed.wait(args["down"])
                for edge in edges:
                    edge.up()
                if healed.wait(args["up"]):
                    return
        except Exception as error:
            errors.append(error)

    thread = threading.Thread(target=run, name=str(fault), daemon=True)
    thread.start()

    def heal() -> None:
        healed.set()
        thread.join()
        for edge in edges:
            edge.up()
        if errors:
            raise errors.pop()

    return lasting(lambda _: look(), heal)
