"""A PostgreSQL server of the tests' own: on a free port of 127.0.0.1, by an unprivileged user, gone with its tests."""

import os
import pwd
import secrets
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from itertools import count
from pathlib import Path
from typing import Any, Self

import psycopg
from psycopg import sql

from brownout.subject.ports import HOST, free_port
from brownout.subject.processes.process import Process
from brownout.subject.processes.scratch import scratch
from brownout.subject.waiting import eventually

DEBIAN = Path("/usr/lib/postgresql")  # Debian keeps the server's programs off PATH, one folder a version
USERS = ("postgres", "nobody")  # who may run the server when the tests are root's: initdb refuses root
WITHIN = 30.0  # s
OWNER = "system"  # the role of the application: no superuser


class NoPostgres(LookupError):
    """There is no server to start. The message is one line that says what to install."""


def programs() -> Path:
    """The folder of `initdb` and `postgres`."""
    found = [Path(path).parent for path in [shutil.which("initdb")] if path]
    versions = [path for path in DEBIAN.glob("*/bin") if (path / "initdb").exists()]
    newest = sorted(versions, key=lambda path: int(path.parent.name))[-1:]
    for folder in (*newest, *found):
        return folder
    raise NoPostgres("there is no PostgreSQL server: install Debian's package postgresql, or put initdb on PATH")


class Postgres:
    """One server. With `durable` its commits reach the disk; else they survive its death, but not the machine's."""

    def __init__(self, folder: Path, *, durable: bool = False) -> None:
        self.port = free_port()
        self._programs, self._folder, self._password = programs(), folder, secrets.token_hex(8)
        self._names, self._durable = count(1), durable
        self.log = folder / "log"
        self._process: Process | None = None

    @property
    def _as_user(self) -> list[str]:
        """What goes before a command, so that root does not run the server."""
        if os.geteuid() != 0:
            return []
        user = pwd.getpwnam(self._user)
        return ["setpriv", f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups"]

    @cached_property
    def _user(self) -> str:
        known = {entry.pw_name for entry in pwd.getpwall()}
        return next(name for name in USERS if name in known)

    def make(self) -> Self:
        """Make the server's files, start it, and make the role of the application."""
        if os.geteuid() == 0:
            shutil.chown(self._folder, self._user)
        password = self._folder / "password"
        password.write_text(self._password)
        password.chmod(0o644)  # its folder is private
        command = [str(self._programs / "initdb"), "-D", str(self._folder / "data"), "-U", "postgres"]
        options = ["-A", "scram-sha-256", "--pwfile", str(password), "-E", "UTF8", "--locale=C", "--no-sync"]
        argv = [*self._as_user, *command, *options]
        done = subprocess.run(argv, cwd=self._folder, capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(f"initdb failed: {done.stderr}")
        self.start()
        with self.superuser() as connection:
            role = sql.SQL("CREATE ROLE {} LOGIN PASSWORD {}").format(sql.Identifier(OWNER), self._password)
            connection.execute(role)
        return self

    def start(self) -> None:
        """Start, and wait until it answers."""
        settings = {"listen_addresses": HOST, "port": self.port, "unix_socket_directories": ""}
        if not self._durable:
            settings |= {"fsync": "off", "full_page_writes": "off"}
        flags = [flag for name, value in settings.items() for flag in ("-c", f"{name}={value}")]
        argv = [*self._as_user, str(self._programs / "postgres"), "-D", str(self._folder / "data"), *flags]
        self._process = Process.launch("postgres", argv, log=self.log)

        def answers() -> bool:
            with self.superuser():
                return True

        eventually(
            answers,
            within=WITHIN,
            every=0.05,
            what="PostgreSQL answers",
            evidence=self.log.read_text,
            ignoring=(psycopg.OperationalError,),
        )

    def stop(self) -> None:
        """End at once, as by a crash of the server; what was committed is there after the next `start`."""
        if self._process:
            self._process.stop(signal.SIGQUIT, within=WITHIN)

    @property
    def process(self) -> Process:
        """The server's main process."""
        assert self._process
        return self._process

    @contextmanager
    def superuser(self, database: str = "postgres") -> Iterator[psycopg.Connection[tuple[Any, ...]]]:
        """A connection past everything that is broken, each statement a transaction of its own."""
        with psycopg.connect(self.observer(database), autocommit=True) as connection:
            yield connection

    def observer(self, database: str) -> str:
        """The URL for a superuser, past every edge."""
        return f"postgresql://postgres:{self._password}@{HOST}:{self.port}/{database}?connect_timeout=2"

    def url(self, database: str, address: str = "") -> str:
        """What the application is given; `address` is that of an edge in front of the server."""
        return f"postgresql://{OWNER}:{self._password}@{address or f'{HOST}:{self.port}'}/{database}"

    def new_database(self) -> str:
        """The name of a new and empty one."""
        name = f"system_{next(self._names)}"
        with self.superuser() as connection:
            made = sql.SQL("CREATE DATABASE {} OWNER {}").format(sql.Identifier(name), sql.Identifier(OWNER))
            connection.execute(made)
        return name

    def drop(self, database: str) -> None:
        """Remove a database, whoever is connected to it."""
        with self.superuser() as connection:
            connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(database)))


@contextmanager
def postgres(*, durable: bool = False) -> Iterator[Postgres]:
    """A running server. Raises NoPostgres."""
    programs()
    with scratch() as folder:
        server = Postgres(folder, durable=durable)
        try:
            yield server.make()
        finally:
            server.stop()
