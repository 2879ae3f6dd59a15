"""Faults of a real Redis: states in which Redis refuses or delays the requests of the subject."""

# ruff: noqa: ARG001 - every striker takes the same three arguments

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
from brownout.subject.servers.redis_server import CLIENT_NAME, RedisServer
from brownout.subject.subject import Subject
from brownout.subject.waiting import eventually

TARGETS = frozenset({"broker"})
# With this key-load-delay Redis sleeps 1 us after one loaded command in four (debugDelay); Linux makes this sleep take
# 55 us or more. Redis answers its clients after every 1,024 loaded commands (aof.c). During this slow load an answer of
# Redis takes about 20 ms, and the whole load takes at least 4 s.
FILLER_DB, FILLERS, LOAD_DELAY = 15, 250_000, "-4"
FILL = f"for _ = 1, {FILLERS} do redis.call('INCR', 'brownout-filler') end"
LONGEST_PAUSE = 3_600_000  # Milliseconds; the longest time for which a fault pauses Redis.
# Redis commands that block by design: a consumer that waits in such a command is not delayed by the fault.
WAITING = frozenset({"brpop", "blpop", "bzpopmin", "bzpopmax", "blmove", "brpoplpush", "xread"})

#: The settings that faults have changed: their old values, and a connection that was opened before the change.
_changed: WeakKeyDictionary[RedisServer, dict[str, tuple[str, Direct]]] = WeakKeyDictionary()


@fault(targets=TARGETS, heal="the old maxmemory is restored")
def out_of_memory() -> Fault:
    """Redis has no memory left (maxmemory, noeviction): it refuses writes with OOM."""
    return Fault("out_of_memory")


@fault(targets=TARGETS, heal="REPLICAOF NO ONE")
def read_only() -> Fault:
    """Redis is a replica without its master, and refuses every write (READONLY)."""
    return Fault("read_only")


@fault(targets=TARGETS, heal="the old maxclients is restored")
def out_of_clients() -> Fault:
    """Redis refuses new connections (maxclients); existing connections stay."""
    return Fault("out_of_clients")


@fault(targets=TARGETS, heal="CLIENT UNPAUSE")
def freeze() -> Fault:
    """Redis delays writes until the fault heals, and answers reads (CLIENT PAUSE)."""
    return Fault("freeze")


@fault(targets=TARGETS, heal="Redis loads the rest at full speed")
def loading() -> Fault:
    """Redis is killed and restarted, and answers LOADING while it loads its data."""
    return Fault("loading")


@fault(targets=TARGETS, heal="nothing to undo")
def disconnect() -> Fault:
    """Redis closes every connection of the subject, once (CLIENT KILL)."""
    return Fault("disconnect")


@fault(targets=TARGETS | {"backend"}, heal="does not heal: deleted keys stay deleted")
def flush() -> Fault:
    """All keys of the database are deleted (FLUSHDB) and do not come back."""
    return Fault("flush")


@fault(targets=TARGETS, heal="does not heal: an evicted key stays deleted")
def evict_key(pattern: str) -> Fault:
    """Redis evicts one key that matches `pattern`, as it does when its memory is full."""
    if not pattern:
        raise ValueError('evict_key needs a pattern of keys, such as "celery" or "celery-task-meta-*"')
    return Fault("evict_key", {"pattern": pattern})


def _configured(values: dict[str, str], evidence: Callable[[Direct], Callable[[float], str]]) -> Striker:
    """Make the function that carries out a fault by changing settings of Redis. When the fault heals, the settings get
    the values that they had before the first fault."""

    def striker(subject: Subject, target: str, fault: Fault) -> Strike:
        broker, changed = subject.broker, _changed.setdefault(subject.broker, {})
        # Under maxclients 1 Redis refuses a new connection, so a second fault of this kind uses the connection that the
        # first fault has opened.
        direct = next((changed[name][1] for name in values if name in changed), None) or Direct(broker)
        look = evidence(direct)
        for name, value in values.items():
            if name not in changed:
                changed[name] = direct.patient.config_get(name)[name], direct
            direct.patient.config_set(name, value)

        def heal() -> None:
            for name in values.keys() & changed.keys():
                # a server that has ended has lost the setting, so nothing must be restored
                if broker.state() != "ended":
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
        return f"Redis rejected {more} connections" if more > 0 else ""

    return look


strikes(out_of_clients)(_configured({"maxclients": "1"}, _rejected))


@strikes(read_only)
def _read_only(subject: Subject, target: str, fault: Fault) -> Strike:
    direct = Direct(subject.broker)
    look = refusals("READONLY")(direct)
    # Nobody listens on port 1, so the replica never finds its master. Redis goes on serving its stale data, by default
    # (replica-serve-stale-data).
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
        waiting = [client["cmd"] for client in direct.clients(within) if "b" in client["flags"]]
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
    already = direct.info("persistence", PATIENT).get("loading") == 1
    if not already:
        _fill(broker)
        broker.relaunch({"key-load-delay": LOAD_DELAY})
        eventually(lambda: direct.info("server", PATIENT), within=15.0, what="Redis listens again")
    look = refusals("LOADING", fresh=not already)(direct)

    def loaded() -> bool:
        # INFO is sent instead of PING, because Redis refuses PING while it loads data, and counts this refusal.
        return direct.info("persistence", PATIENT).get("loading") == 0

    def heal() -> None:
        if broker.state() != "ended":
            try:
                direct.patient.config_set("key-load-delay", "0")
            except ResponseError:  # versions of Redis before 7 refuse CONFIG SET while they load data
                broker.restart()
            eventually(loaded, within=15.0, what="Redis has loaded its data")
            broker.wait_ready()
        direct.close()

    return lasting(look, heal)


def _fill(broker: RedisServer) -> None:
    """Write many commands to the file that Redis must load when it starts. Raises LookupError when this Redis does not
    keep its data over a restart."""
    with broker.client(FILLER_DB, timeout=10.0, decode=True) as client:
        if client.config_get("appendonly")["appendonly"] != "yes":
            raise LookupError("loading needs a broker that keeps its data: set `persistent` in the topology")
        if not client.exists("brownout-filler"):
            client.eval(FILL, 0)


@strikes(disconnect)
def _disconnected(subject: Subject, target: str, fault: Fault) -> Strike:
    closed = 0
    with subject.broker.client(decode=True) as redis:
        for client in redis.client_list():
            if client["name"] != CLIENT_NAME:
                with suppress(RedisError):  # an error means that the client has disconnected since CLIENT LIST
                    closed += redis.client_kill_filter(_id=client["id"])
    seen = f"Redis closed {closed} connections" if closed else ""
    return Strike(lambda: None, lambda: seen)


@strikes(flush)
def _flushed(subject: Subject, target: str, fault: Fault) -> Strike:
    layout, seen = subject.layout, ""
    database = None
    if isinstance(layout, Layout):
        database = layout.database if target == "broker" else layout.backend
    # if the number of the broker's database is unknown, the fault deletes nothing and so shows no effect
    if database is not None:
        with subject.broker.client(database, decode=True) as client:
            keys: Any = client.dbsize()
            client.flushdb()
        seen = f"{keys} keys deleted" if keys else ""
    return Strike(lambda: None, lambda: seen)


@strikes(evict_key)
def _evicted(subject: Subject, target: str, fault: Fault) -> Strike:
    layout, seen = subject.layout, ""
    if isinstance(layout, Layout) and layout.database is not None:
        with subject.broker.client(layout.database, decode=True) as client:
            keys = sorted(client.scan_iter(fault.args["pattern"], count=1_000))
            key = next((key for key in keys if client.delete(key)), None)  # a key may have gone since the scan
        seen = f"key {key} evicted" if key else ""
    return Strike(lambda: None, lambda: seen)
