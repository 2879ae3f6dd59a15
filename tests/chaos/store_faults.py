"""Faults of the job store: an SQLite file of the trial, or a database of PostgreSQL (`stores.Database`)."""

import resource
import sqlite3
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from signal import SIGCONT, SIGSTOP

import psutil
import psycopg

from brownout.extend import Fault, Strike, Subject, eventually, fault, lasting, strikes
from brownout.faults.traffic import watch
from brownout.wire import blackhole
from tests.chaos.stores import Database

WITHIN = 10.0  # s to get a lock, or to meet a process in the middle of a transaction
WRITE_LOCK = 120  # the byte of SQLite's `-shm` file that a writer locks (WAL_WRITE_LOCK, walformat)
TABLES = "jobs, outbox, applied, effects, seen, ticks"


@fault(targets={"store"}, heal="the lock is released")
def locked() -> Fault:
    """Another program holds the store's write lock; who reads does not wait."""
    return Fault("locked")


@fault(targets={"store"}, heal="the next commit is fast again")
def slow_commits() -> Fault:
    """Each commit takes a tenth of a second and more, as on a busy disk."""
    return Fault("slow_commits")


@fault(targets={"store"}, heal="files may grow again")
def full_disk() -> Fault:
    """The files of the subject's processes can't grow (RLIMIT_FSIZE): writes of SQLite fail."""
    return Fault("full_disk")


@fault(targets={"api", "worker", "relay"}, heal="it goes on (SIGCONT)")
def stop_in_transaction() -> Fault:
    """A process is stopped (SIGSTOP) in the middle of a transaction that writes."""
    return Fault("stop_in_transaction")


@fault(targets={"store"}, heal="the port listens again")
def refuse_store() -> Fault:
    """PostgreSQL refuses connections, and those that there were are closed."""
    return Fault("refuse_store")


@fault(targets={"store"}, heal="the bytes that were kept are lost, and the connections closed")
def blackhole_store() -> Fault:
    """PostgreSQL accepts connections and answers nothing."""
    return Fault("blackhole_store")


@fault(targets={"store"}, heal="PostgreSQL is started again with its data")
def end_store() -> Fault:
    """PostgreSQL ends at once, as in a crash."""
    return Fault("end_store")


@fault(targets={"store"}, heal="there are connections again")
def no_connections() -> Fault:
    """PostgreSQL has one connection left for all processes, and has closed the others."""
    return Fault("no_connections")


def _file(subject: Subject) -> Path:
    return subject.files / "system.db"


def _postgres(subject: Subject) -> Database:
    database = Database.of(subject)
    if database is None:
        raise LookupError("this fault needs a store on PostgreSQL")
    return database


def _held(subject: Subject) -> Callable[[], None]:
    """Take the write lock; returns how to release it."""
    database = Database.of(subject)
    if database is None:
        file = sqlite3.connect(_file(subject), timeout=WITHIN, isolation_level=None, check_same_thread=False)
        file.execute("BEGIN IMMEDIATE")
        return file.close
    server = psycopg.connect(database.server.observer(database.name))
    server.execute(f"LOCK TABLE {TABLES} IN EXCLUSIVE MODE")
    return server.close


def _users(path: Path, subject: Subject) -> int:
    """How many of the subject's processes have this file open."""
    found = 0
    for pid in (pid for pids in subject.pids().values() for pid in pids):
        with suppress(psutil.Error, OSError):
            found += any(Path(entry.path) == path for entry in psutil.Process(pid).open_files())
    return found


@strikes(locked)
def _locked(subject: Subject, target: str, fault: Fault) -> Strike:
    database, release = Database.of(subject), _held(subject)

    def look(_: float) -> str:
        if database is None:  # nobody sees who waits: SQLite asks for its lock again and again
            users = _users(_file(subject), subject)
            return f"{users} processes have the locked store open" if users else ""
        ((waiting,),) = database.rows("SELECT count(*) FROM pg_locks WHERE NOT granted") or [(0,)]
        return f"{waiting} transactions wait for a lock" if waiting else ""

    return lasting(look, release)


@strikes(slow_commits)
def _slow(subject: Subject, target: str, fault: Fault) -> Strike:
    database = Database.of(subject)
    if database is not None:
        _set(database, "commit_delay = 100000", "commit_siblings = 0")  # µs, the most that there is
        return lasting(lambda _: "each commit waits for 100 ms", lambda: _set(database, "commit_delay = 0"))
    healed, pulses = threading.Event(), list[float]()

    def run() -> None:
        while not healed.is_set():
            release = _held(subject)
            pulses.append(time.monotonic())
            healed.wait(0.15)
            release()
            healed.wait(0.1)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()

    def heal() -> None:
        healed.set()
        thread.join()

    return lasting(lambda _: f"the lock was taken {len(pulses)} times" if len(pulses) > 1 else "", heal)


def _set(database: Database, *settings: str) -> None:
    with database.server.superuser() as connection:
        for setting in settings:
            connection.execute(f"ALTER SYSTEM SET {setting}")
        connection.execute("SELECT pg_reload_conf()")


@strikes(full_disk)
def _full(subject: Subject, target: str, fault: Fault) -> Strike:
    """The log can be written up to its present length, and so can every other file that is shorter."""
    size = _file(subject).with_name("system.db-wal").stat().st_size
    logs = subject.history.parent / "log"

    def errors() -> int:
        return sum(path.read_text(errors="replace").count("disk") for path in logs.glob("*.log"))

    def allow(soft: int) -> None:
        for name, pids in subject.pids().items():
            for pid in pids if name in subject.supervisors else []:
                with suppress(ProcessLookupError):
                    _, hard = resource.prlimit(pid, resource.RLIMIT_FSIZE)
                    resource.prlimit(pid, resource.RLIMIT_FSIZE, (soft, hard))

    before = errors()
    allow(size)

    def look(_: float) -> str:
        more = errors() - before
        return f"{more} lines in the logs tell of the disk" if more > 0 else ""

    return lasting(look, lambda: allow(resource.RLIM_INFINITY))


@strikes(stop_in_transaction)
def _stopped(subject: Subject, target: str, fault: Fault) -> Strike:
    database, stopped = Database.of(subject), list[int]()
    inode = None if database else _file(subject).with_name("system.db-shm").stat().st_ino

    def writes() -> int | None:
        """Which of the process's family is in a transaction that writes."""
        family = subject.pids()[target]
        if database is None:
            return next((pid for pid in _writers(inode) if pid in family), None)
        query = (
            "SELECT application_name FROM pg_stat_activity WHERE state = 'idle in transaction' AND query !~ '^SELECT'"
        )
        return next((pid for (name,) in database.rows(query) if (pid := int(name.split()[1])) in family), None)

    def met() -> bool:
        pid = writes()
        if pid is None:
            return False
        psutil.Process(pid).send_signal(SIGSTOP)
        eventually(lambda: psutil.Process(pid).status() == psutil.STATUS_STOPPED, within=1.0, what="it is stopped")
        if writes() == pid:
            stopped.append(pid)
        else:
            psutil.Process(pid).send_signal(SIGCONT)
        return bool(stopped)

    eventually(met, within=WITHIN, every=0.0005, what=f"{target} is in the middle of a transaction")

    def heal() -> None:
        for pid in stopped:
            with suppress(psutil.NoSuchProcess):
                psutil.Process(pid).send_signal(SIGCONT)

    return lasting(lambda _: f"process {stopped[0]} of {target} is stopped in its transaction", heal)


def _writers(inode: int | None) -> list[int]:
    """Who holds SQLite's write lock, by the kernel's list of locks."""
    entries = (line.split() for line in Path("/proc/locks").read_text().splitlines() if "POSIX" in line)
    return [
        int(entry[4])
        for entry in entries
        if entry[1] != "->" and entry[5].rpartition(":")[2] == str(inode) and int(entry[6]) <= WRITE_LOCK
        if entry[7] == "EOF" or int(entry[7]) >= WRITE_LOCK
    ]


@strikes(refuse_store)
def _refused(subject: Subject, target: str, fault: Fault) -> Strike:
    edge = _postgres(subject).edge
    look = watch([edge], ["down"], ends=True)
    edge.down()
    return lasting(lambda _: look(), edge.up)


@strikes(blackhole_store)
def _silent(subject: Subject, target: str, fault: Fault) -> Strike:
    edge, toxic = _postgres(subject).edge, blackhole()
    look = watch([edge], [toxic.name], ends=False)
    edge.add(toxic)

    def heal() -> None:
        edge.cut()  # what a silent network has swallowed never comes
        edge.remove(toxic.name)

    return lasting(lambda _: look(), heal)


@strikes(end_store)
def _ended(subject: Subject, target: str, fault: Fault) -> Strike:
    server = _postgres(subject).server
    server.stop()
    return lasting(lambda _: f"PostgreSQL on port {server.port} has ended", server.start)


@strikes(no_connections)
def _without(subject: Subject, target: str, fault: Fault) -> Strike:
    database = _postgres(subject)
    database.limit(1)
    seen = Path(database.server.log)
    before = seen.read_text().count("too many connections")

    def look(_: float) -> str:
        more = seen.read_text().count("too many connections") - before
        return f"PostgreSQL refused {more} connections" if more > 0 else ""

    return lasting(look, lambda: database.limit(-1))
