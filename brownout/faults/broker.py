"""States in which a real Redis refuses or delays what the subject asks of it."""

# ruff: noqa: ARG001 - every striker takes the same three

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any
from weakref import WeakKeyDictionary

from redis.exceptions import RedisError, ResponseError

from brownout.faults.direct import Direct, refusals
from brownout.faults.lasting import PATIENT, lasting
from brownout.faults.strike import Strike, Striker, strikes
from brownout.history.layout import Layout
from brownout.plan.fault import Fault, fault
from brownout.subject.redis_server import CLIENT_NAME, RedisServer
from brownout.subject.subject import Subject
from brownout.subject.waiting import eventually

TARGETS = frozenset({"broker"})
# Loading sleeps 1 us after one command in four (key-load-delay; debugDelay), which takes Linux 55 us and more, and
# Redis answers between 1,024 commands (aof.c): some 20 ms for an answer, and at least 4 s in all.
FILLER_DB, FILLERS, LOAD_DELAY = 15, 250_000, "-4"
FILL = f"for _ = 1, {FILLERS} do redis.call('INCR', 'brownout-filler') end"
LONGEST_PAUSE = 3_600_000  # ms
# A consumer that waits in one of these is blocked by its own wish.
WAITING = frozenset({"brpop", "blpop", "bzpopmin", "bzpopmax", "blmove", "brpoplpush", "xread"})

#: Settings that are changed now: what they were, and a connection that was there before.
_changed: WeakKeyDictionary[RedisServer, dict[str, tuple[str, Direct]]] = WeakKeyDictionary()


@fault(targets=TARGETS, heal="maxmemory as before")
def out_of_memory() -> Fault:
    """Redis is full (maxmemory, noeviction) and refuses every write with OOM."""
    return Fault("out_of_memory")


@fault(targets=TARGETS, heal="REPLICAOF NO ONE")
def read_only() -> Fault:
    """Redis is a replica whose master is gone, and refuses every write."""
    return Fault("read_only")


@fault(targets=TARGETS, heal="maxclients as before")
def out_of_clients() -> Fault:
    """Redis takes no more connections (maxclients); those it has stay."""
    return Fault("out_of_clients")


@fault(targets=TARGETS, heal="CLIENT UNPAUSE")
def freeze() -> Fault:
    """Writes wait at Redis, reads are answered (CLIENT PAUSE WRITE)."""
    return Fault("freeze")


@fault(targets=TARGETS, heal="the rest is loaded at full speed")
def loading() -> Fault:
    """Redis is killed, and answers LOADING after its restart."""
    return Fault("loading")


@fault(targets=TARGETS, heal="nothing to undo")
def disconnect() -> Fault:
    """Redis closes every connection of the subject, once (CLIENT KILL)."""
    return Fault("disconnect")


@fault(targets=TARGETS | {"backend"}, heal="not: what was deleted stays so")
def flush() -> Fault:
    """An operator empties the database (FLUSHDB); nothing brings it back."""
    return Fault("flush")


def _configured(values: dict[str, str], evidence: Callable[[Direct], Callable[[float], str]]) -> Striker:
    """Set Redis's settings; healing gives them the values they had before the first such fault."""

    def striker(subject: Subject, target: str, fault: Fault) -> Strike:
        broker, changed = subject.broker, _changed.setdefault(subject.broker, {})
        # A second strike finds no free connection when the first one took them all.
        direct = next((changed[name][1] for name in values if name in changed), None) or Direct(broker)
        look = evidence(direct)
        for name, value in values.items():
            if name not in changed:
                changed[name] = direct.patient.config_get(name)[name], direct
            direct.patient.config_set(name, value)

        def heal() -> None:
            for name in values.keys() & changed.keys():
                if broker.state() != "ended":  # an ended server has forgotten them
                    direct.patient.config_set(name, changed[name][0])
                del changed[name]
            direct.close()

        return lasting(look, heal)

    return striker


strikes(out_of_memory)(_configured({"maxmemory-policy": "noeviction", "maxmemory": "1"}, refusals("OOM")))


def _rejected(direct: Direct) -> Callable[[float], str]:
    before = direct.info("stats", PATIENT)["rejected_connections"]

    def look(within: float) -> str:
        more = direct.info("stats", within).get("rejected_connections", 0) - before
        return f"{more} connections rejected" if more > 0 else ""

    return look


strikes(out_of_clients)(_configured({"maxclients": "1"}, _rejected))


@strikes(read_only)
def _read_only(subject: Subject, target: str, fault: Fault) -> Strike:
    direct = Direct(subject.broker)
    look = refusals("READONLY")(direct)
    # Nobody listens on port 1. Stale data are served, as by default (replica-serve-stale-data).
    direct.patient.execute_command("REPLICAOF", "127.0.0.1", "1")

    def heal() -> None:
        if subject.broker.state() != "ended":
            direct.patient.execute_command("REPLICAOF", "NO", "ONE")
        direct.close()

    return lasting(look, heal)


@strikes(freeze)
def _frozen(subject: Subject, target: str, fault: Fault) -> Strike:
    direct = Direct(subject.broker)
    direct.patient.execute_command("CLIENT", "PAUSE", str(LONGEST_PAUSE), "WRITE")

    def look(within: float) -> str:
        waiting = [each["cmd"] for each in direct.clients(within) if "b" in each["flags"]]
        held = sorted(set(waiting) - WAITING)
        return f"{', '.join(held)} waits at Redis" if held else ""

    def heal() -> None:
        if subject.broker.state() != "ended":
            direct.patient.execute_command("CLIENT", "UNPAUSE")
        direct.close()

    return lasting(look, heal)


@strikes(loading)
def _loading(subject: Subject, target: str, fault: Fault) -> Strike:
    broker, direct = subject.broker, Direct(subject.broker)
    on = direct.info("persistence", PATIENT).get("loading") == 1
    if not on:
        _fill(broker)
        broker.relaunch({"key-load-delay": LOAD_DELAY})
        eventually(lambda: direct.info("server", PATIENT), within=15.0, what="Redis listens again")
    look = refusals("LOADING", fresh=not on)(direct)

    def loaded() -> bool:
        # INFO, not PING: that would be refused, and counted.
        return direct.info("persistence", PATIENT).get("loading") == 0

    def heal() -> None:
        if broker.state() != "ended":
            try:
                direct.patient.config_set("key-load-delay", "0")
            except ResponseError:  # before Redis 7 nothing can be set while it loads
                broker.restart()
            eventually(loaded, within=15.0, what="Redis has loaded its data")
            broker.wait_ready()
        direct.close()

    return lasting(look, heal)


def _fill(broker: RedisServer) -> None:
    """Give the server something to load. LookupError when it keeps nothing."""
    with broker.client(FILLER_DB, timeout=10.0, decode=True) as client:
        if client.config_get("appendonly")["appendonly"] != "yes":
            raise LookupError("loading needs a broker that keeps its data: topology.persistent")
        if not client.exists("brownout-filler"):
            client.eval(FILL, 0)


@strikes(disconnect)
def _disconnected(subject: Subject, target: str, fault: Fault) -> Strike:
    closed = 0
    with subject.broker.client(decode=True) as client:
        for each in client.client_list():
            if each["name"] != CLIENT_NAME:
                with suppress(RedisError):  # it has left in the meantime
                    closed += client.client_kill_filter(_id=each["id"])
    seen = f"{closed} connections closed by Redis" if closed else ""
    return Strike(lambda: None, lambda: seen)


@strikes(flush)
def _flushed(subject: Subject, target: str, fault: Fault) -> Strike:
    layout, seen = subject.layout, ""
    database = None
    if isinstance(layout, Layout):
        database = layout.database if target == "broker" else layout.backend
    if database is not None:  # else nobody knows which one to empty, and nothing acts
        with subject.broker.client(database, decode=True) as client:
            keys: Any = client.dbsize()
            client.flushdb()
        seen = f"{keys} keys deleted" if keys else ""
    return Strike(lambda: None, lambda: seen)
