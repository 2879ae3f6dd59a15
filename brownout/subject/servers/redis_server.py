"""A Redis server for one trial; it runs as a local process or in a container (its carrier)."""

import inspect
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Literal, Protocol, Self

import redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry

from brownout.subject.ports import HOST
from brownout.subject.waiting import eventually

RungName = Literal["container", "local", "embedded"]
State = Literal["running", "paused", "ended"]
# the name that brownout's own connections, which do not pass through the network proxy, have in CLIENT LIST
CLIENT_NAME = "brownout"
# redis-py 4 has no argument `protocol`, and speaks RESP2
KNOWS_PROTOCOLS = "protocol" in inspect.signature(redis.Redis).parameters


class PortTaken(OSError):
    """After a free port was chosen, another process took it before the server was started."""


class Carrier(Protocol):
    """The interface of the carriers: objects that run a server in a process or a container."""

    @property
    def port(self) -> int:
        """The port of the server on 127.0.0.1; 0 before the first start."""

    @property
    def pid(self) -> int | None:
        """The server's pid, or None when the pid is unknown."""

    def start(self) -> None:
        """Start the server with its kept data, and return before it is ready. Raises OSError when the start fails."""

    def once(self, options: Mapping[str, str]) -> None:
        """Add Redis settings for the next start only. Raises OSError when this is not possible in the server's process
        or container."""

    def state(self) -> State:
        """The present state of the server's process or container."""

    def check(self) -> None:
        """Raise OSError with the end of the log when the server has ended, and PortTaken when its port was in use."""

    def halt(self, *, graceful: bool) -> None:
        """End the server and keep its data."""

    def pause(self) -> None:
        """Freeze the server; connections stay established."""

    def resume(self) -> None:
        """Let a frozen server run again."""

    def remove(self) -> None:
        """End the server and delete its data; does nothing when the server never ran."""

    def evidence(self) -> str:
        """The end of the server's log."""


class RedisServer:
    """A Redis server that listens on 127.0.0.1 only. `start()` starts the server, and so does `with`."""

    host = HOST

    def __init__(self, rung: RungName, carrier: Carrier) -> None:
        self.rung = rung
        self.version = ""  # The server's version; "" before the first start.
        self.run_id = ""  # The `run_id` of INFO, which is different after each start.
        self._carrier = carrier

    @property
    def port(self) -> int:
        """The port at which clients reach the server. Callers must not store the port, because the port of a container
        changes with every restart."""
        return self._carrier.port

    @property
    def pid(self) -> int | None:
        """The server's pid, or None when the server runs in a container."""
        return self._carrier.pid

    def url(self, db: int = 0) -> str:
        """The server's URL for Celery, kombu and redis-py."""
        return f"redis://{self.host}:{self.port}/{db}"

    def client(
        self, db: int = 0, *, timeout: float = 2.0, protocol: Literal[2, 3] = 2, decode: bool = False
    ) -> "redis.Redis":
        """A client without retries, because redis-py's default of ten retries hides an outage for 15 s.

        `timeout` is in seconds, for the connection and for each answer. The client's methods raise
        redis.ConnectionError or redis.TimeoutError. The caller must close the client.
        """
        spoken: dict[str, Any] = {"protocol": protocol} if KNOWS_PROTOCOLS else {}
        return redis.Redis(
            host=self.host,
            port=self.port,
            db=db,
            retry=Retry(NoBackoff(), 0),
            socket_timeout=timeout,
            socket_connect_timeout=timeout,
            **spoken,
            client_name=CLIENT_NAME,
            decode_responses=decode,
        )

    def start(self) -> Self:
        """Start the server and wait until it answers. Raises OSError, or NeverHappened after 15 s."""
        for _ in range(5):
            self._carrier.start()
            try:
                self.wait_ready()
            except PortTaken:
                continue
            except BaseException:
                self._carrier.remove()
                raise
            return self
        raise PortTaken("no free port: other processes took five chosen ports in a row")

    def wait_ready(self, within: float = 15.0) -> None:
        """Wait until the server answers PING with PONG; a server that answers LOADING is not ready."""
        eventually(
            self._ready,
            within=within,
            every=0.002 if self.rung != "container" else 0.02,
            what=f"{self.rung} Redis on port {self.port} answers PING",
            evidence=self._carrier.evidence,
            ignoring=RedisError,
        )

    def _ready(self) -> bool:
        self._carrier.check()
        with self.client(timeout=1.0) as client:
            client.ping()
            info: dict[str, Any] = client.info("server")
        if self.pid not in (None, info["process_id"]):
            return False  # another server has the port; the next call of `check` raises the error
        self.version = str(info.get("valkey_version") or info["redis_version"])
        self.run_id = str(info["run_id"])
        return True

    def state(self) -> State:
        """Whether the server runs, is paused or has ended."""
        return self._carrier.state()

    def kill(self) -> None:
        """Kill the server by SIGKILL. If the server is persistent, its data are kept for `restart()`. The clients'
        connections are reset."""
        self.end(graceful=False)

    def end(self, *, graceful: bool) -> None:
        """End the server by SIGKILL, or by SIGTERM if `graceful` is true. The data of a persistent server stay on the
        disk."""
        self._carrier.halt(graceful=graceful)

    def relaunch(self, options: Mapping[str, str]) -> None:
        """Kill the server and start it once with additional settings; return before the server is ready. Raises OSError
        when the server runs in a container."""
        self._carrier.once(options)
        self._carrier.halt(graceful=False)
        self._carrier.start()

    def restart(self, *, graceful: bool = False) -> None:
        """End the server (SIGKILL, or SIGTERM when `graceful`), start it again and wait until it answers.

        With persistence all acknowledged writes are kept (`appendfsync always`); without persistence all data are lost.
        """
        self._carrier.halt(graceful=graceful)
        self._carrier.start()
        self.wait_ready()

    def pause(self) -> None:
        """Freeze the server: connections stay established, and no request is answered."""
        self._carrier.pause()

    def resume(self) -> None:
        """Let a frozen server run again; does nothing when the server is not frozen."""
        self._carrier.resume()

    def stop(self) -> None:
        """End the server and delete its data; does nothing when the server does not run."""
        self._carrier.remove()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def server_options(*, persistence: bool) -> dict[str, str]:
    """These settings of Redis are used by every server, in a process or a container."""
    return {
        "save": "",  # Redis takes no snapshots, because the fork for a snapshot delays answers
        "appendonly": "yes" if persistence else "no",
        "appendfsync": "always",
    }
