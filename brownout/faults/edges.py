"""How a fault of the network is carried out on the edges of a running subject."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress

from brownout.faults.lasting import PATIENT, lasting
from brownout.faults.strike import Strike, Striker
from brownout.faults.traffic import lives, watch
from brownout.plan.fault import Fault
from brownout.subject.subject import Subject
from brownout.subject.waiting import NeverHappened, eventually
from brownout.wire.interface import AnyEdge
from brownout.wire.tcp.edge import Edge
from brownout.wire.tcp.toxics import Toxic

SERVICES = frozenset({"broker", "backend"})
TARGETS = frozenset({"edge", "worker", "api", "relay", "beat"}) | SERVICES


def reach(subject: Subject, target: str, fault: Fault) -> list[AnyEdge]:
    """The edges that a target names. LookupError when there are none, or when this wire cannot do the fault."""
    if subject.wire.kind not in fault.kind.wires:
        raise LookupError(f"{fault.name} needs the {' or '.join(fault.kind.wires)} wire, this is {subject.wire.kind}")
    if "->" in target:
        found = subject.reach(target)
    else:
        place = 2 if target in SERVICES else 0
        found = [edge for name, edge in subject.edges.items() if name.partition("->")[place] == target]
    if not found:
        raise LookupError(f"no edge is {target!r}; there are {', '.join(subject.edges)}")
    return found


def toxic_striker(toxics: Callable[[Fault], tuple[Toxic, ...]], *, ends: bool) -> Striker:
    """Arm a fault's toxics; `ends` when it is only seen by the connections that it ends."""

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

        # What the kernel tells of a healed edge is no evidence.
        return lasting(lambda _: look() if on else "", heal)

    return striker


def refused(subject: Subject, target: str, fault: Fault) -> Strike:
    """Stop listening. Evidence is a live connection that was closed: what the kernel refuses, no wire sees."""
    edges = reach(subject, target, fault)
    look = watch(edges, ["down"], ends=True)
    for edge in edges:
        edge.down()

    def heal() -> None:
        for edge in edges:
            edge.up()

    return lasting(lambda _: look(), heal)


def cut_once(subject: Subject, target: str, fault: Fault) -> Strike:
    """Close what is live now; the edges go on listening."""
    edges = [edge for edge in reach(subject, target, fault) if edge.enabled]  # nothing lives on one that is down
    look = watch(edges, ["cut"], ends=True)
    live = any(lives(edge) for edge in edges if not isinstance(edge, Edge))
    for edge in edges:
        edge.cut()
    seen = look()
    if live and not seen:  # Toxiproxy closes them soon after it has answered
        with suppress(NeverHappened):
            seen = eventually(look, within=PATIENT, what="the connections have ended")
    return Strike(lambda: None, lambda: seen)


def reset_once(subject: Subject, target: str, fault: Fault) -> Strike:
    """RST to both ends of what is live now."""
    counts = {edge.name: edge.reset() for edge in reach(subject, target, fault) if isinstance(edge, Edge)}
    seen = "; ".join(f"{name}: {n} connections reset" for name, n in counts.items() if n)
    return Strike(lambda: None, lambda: seen)


def flapping(subject: Subject, target: str, fault: Fault) -> Strike:
    """Down and up in a thread of its own, which ends with the heal at the latest."""
    edges, args = reach(subject, target, fault), fault.args
    look, over = watch(edges, ["down"], ends=True), threading.Event()
    wrong: list[Exception] = []

    def run() -> None:
        try:
            for _ in range(args["times"]):
                for edge in edges:
                    edge.down()
                over.wait(args["down"])
                for edge in edges:
                    edge.up()
                if over.wait(args["up"]):
                    return
        except Exception as error:
            wrong.append(error)

    thread = threading.Thread(target=run, name=str(fault), daemon=True)
    thread.start()

    def heal() -> None:
        over.set()
        thread.join()
        for edge in edges:
            edge.up()
        if wrong:
            raise wrong.pop()

    return lasting(lambda _: look(), heal)
