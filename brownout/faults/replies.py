"""Faults of one Redis request or one reply: the network proxy keeps this message at a fault point, and the fault
strikes it there.

The functions of this file run on the network proxy's event loop at the moment when the fault point is reached, so no
other message passes before the fault strikes.
"""

from __future__ import annotations

from collections.abc import Callable

from brownout.faults.network import cut, reset
from brownout.faults.strike import Strike, strikes_there
from brownout.plan.fault import Fault, fault
from brownout.plan.near import known
from brownout.plan.point import MOMENTS
from brownout.wire.redis.refusals import STATES, refusal
from brownout.wire.redis.watch import Hit
from brownout.wire.tcp.toxics import BUILTIN

EXECUTED = 0.05  # seconds; a server gets this time to execute a request whose client has left


@fault(targets=("edge",), wires=BUILTIN, needs_point=True, heal="the message goes on", moments=MOMENTS)
def hold() -> Fault:
    """The message at the point is held until the fault heals."""
    return Fault("hold")


@fault(
    targets=("edge",),
    wires=BUILTIN,
    needs_point=True,
    heal="the connection is closed",
    moments=("after",),
    weaker=lambda _: (hold(),),
)
def lose_reply() -> Fault:
    """The reply never arrives; its connection stays open until the fault heals."""
    return Fault("lose_reply")


@fault(targets=("edge",), wires=BUILTIN, needs_point=True, heal="nothing to undo", moments=("after",))
def tear_reply() -> Fault:
    """Half of the reply arrives, then its connection is closed."""
    return Fault("tear_reply")


@fault(targets=("edge",), wires=BUILTIN, needs_point=True, heal="nothing to undo", moments=("before",))
def error_reply(state: str) -> Fault:
    """A request is answered with an error of Redis in `state`, and is not executed.

    `state` is the state in which Redis would refuse the request: "loading", "readonly", "busy", "oom", "misconf",
    "noauth" or "maxclients". The error is the text with which Redis in that state refuses this request. The states
    "noauth" and "maxclients" are only possible for the first request of a connection.
    """
    return Fault("error_reply", {"state": known("state of a server", state, STATES)})


def instant_strike(evidence: str, undo: Callable[[], None] = lambda: None) -> Strike:
    """Return the strike of a fault that had its effect at the moment it struck; `evidence` is a text that describes the
    effect. The method `heal` calls the function `undo` the first time that `heal` is called."""
    healed = False

    def heal() -> None:
        nonlocal healed
        if not healed:
            undo()
            healed = True

    return Strike(heal, lambda: evidence)


@strikes_there(cut)
def cut_at_point(hit: Hit, _: Fault) -> Strike:
    """Close the message's connection (FIN)."""
    hit.passage.cut()
    return instant_strike(f"the connection was closed at {hit}")


@strikes_there(reset)
def reset_at_point(hit: Hit, _: Fault) -> Strike:
    """Reset the message's connection (RST)."""
    hit.passage.reset()
    return instant_strike(f"the connection was reset at {hit}")


@strikes_there(hold)
def _held(hit: Hit, _: Fault) -> Strike:
    passage = hit.passage
    passage.asleep = hit.moment == "before"  # the request must reach the server even if its client leaves

    def over() -> None:
        passage.asleep = False
        if passage.left:  # when the client has left, only this call closes the connection to the server
            passage.cut()

    def release() -> None:
        hit.let()
        if passage.asleep:
            passage.link.edge.loop.call_later(EXECUTED, over)

    return instant_strike(f"held {hit}", lambda: passage.link.edge.run(release))


@strikes_there(lose_reply)
def _lost(hit: Hit, _: Fault) -> Strike:
    return instant_strike(f"{hit} was withheld", lambda: hit.passage.link.edge.run(hit.passage.cut))


@strikes_there(tear_reply)
def _torn(hit: Hit, _: Fault) -> Strike:
    hit.passage.tear()
    return instant_strike(f"half of {hit} was sent")


@strikes_there(error_reply)
def _refused(hit: Hit, error: Fault) -> Strike:
    state = STATES[error.args["state"]]
    commands = [command.argv for command in hit.request.commands] if hit.request else []
    reply = refusal(state.name, commands) if commands else None
    if reply is None or (state.newcomers and commands[0][0].upper() != b"HELLO"):
        raise LookupError(f"Redis in state {state.name} does not refuse {hit.point.label}: {error} cannot strike it")
    hit.passage.refuse(reply)
    if state.closes:
        hit.passage.cut()
    return instant_strike(f"{hit} was answered {reply.split(b' ')[0].decode()[1:]}")
