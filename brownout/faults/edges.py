"""Carries out network faults on the network edges of a running subject."""

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
    """Return the network edges (such as worker->broker) that a target names.

    Raises LookupError if the target names no edge, or if the network proxy cannot carry out the fault.
    """
    if subject.wire.kind not in fault.kind.wires:
        able = " or ".join(fault.kind.wires)
        raise LookupError(f"{fault.name} needs the {able} wire; the wire of this trial is {subject.wire.kind}")
    if "->" in target:
        edges = subject.reach(target)
    else:
        end = 2 if target in SERVICES else 0  # every network edge leads from a process to a service
        edges = [edge for name, edge in subject.edges.items() if name.partition("->")[end] == target]
    if not edges:
        raise LookupError(f"no edge is called {target!r}; known: {', '.join(subject.edges)}")
    return edges


def toxic_striker(toxics: Callable[[Fault], tuple[Toxic, ...]], *, ends: bool) -> Striker:
    """Make the function that carries out a fault by adding the fault's toxics (Toxiproxy's word for network faults).
    If `ends` is true, connections that ended show that the fault had an effect; otherwise bytes that passed show it."""

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

        # The kernel also counts bytes that came after the fault had healed; they do not show that the fault had an
        # effect.
        return lasting(lambda _: look() if on else "", heal)

    return striker


def refused(subject: Subject, target: str, fault: Fault) -> Strike:
    """Close the ports of these network edges, so that nobody listens there. Only closed connections prove that the
    fault had an effect, because a network proxy does not see the connections that the kernel refuses."""
    edges = reach(subject, target, fault)
    look = watch(edges, ["down"], ends=True)
    for edge in edges:
        edge.down()

    def heal() -> None:
        for edge in edges:
            edge.up()

    return lasting(lambda _: look(), heal)


def cut_once(subject: Subject, target: str, fault: Fault) -> Strike:
    """Close the live connections of these network edges; the network edges go on listening."""
    # a network edge that is down has no connection
    edges = [edge for edge in reach(subject, target, fault) if edge.enabled]
    look = watch(edges, ["cut"], ends=True)
    live = any(has_connections(edge) for edge in edges if not isinstance(edge, Edge))
    for edge in edges:
        edge.cut()
    seen = look()
    if live and not seen:  # wait, because Toxiproxy closes the connections soon after its answer
        with suppress(NeverHappened):
            seen = eventually(look, within=PATIENT, what="the connections have ended")
    return Strike(lambda: None, lambda: seen)


def reset_once(subject: Subject, target: str, fault: Fault) -> Strike:
    """Reset every live connection, with an RST to both ends of the connection."""
    counts = {edge.name: edge.reset() for edge in reach(subject, target, fault) if isinstance(edge, Edge)}
    seen = "; ".join(f"{name}: {n} connections reset" for name, n in counts.items() if n)
    return Strike(lambda: None, lambda: seen)


def flapping(subject: Subject, target: str, fault: Fault) -> Strike:
    """Close and open the edges' ports again and again, in a thread that ends at the latest when the fault heals."""
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
