"""One Redis server of one's own, whatever carries it."""

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
CLIENT_NAME = "brownout"  # CLIENT LIST shows which connections are ours, direct, and not the subject's


class PortTaken(OSError):
    """Somebody else took the port between its choice and its use."""


class Carrier(Protocol):
    """What a server runs in: a process or a container."""

    @property
    def port(self) -> int:
        """Where it listens on 127.0.0.1; 0 before it was started."""

    @property
    def pid(self) -> int | None:
        """The server's own pid where it can be known."""

    def start(self) -> None:
        """Start, with the data of before if there are any; does not wait. Raises OSError."""

    def once(self, options: Mapping[str, str]) -> None:
        """More settings, for the next start alone. Raises OSError where that is not possible."""

    def state(self) -> State:
        """What the server does now, as its process or container shows it."""

    def check(self) -> None:
        """Raise OSError with the log's end when the server has ended, PortTaken when that is why."""

    def halt(self, *, graceful: bool) -> None:
        """End the server and keep its data."""

    def pause(self) -> None:
        """Stop it from running; connections stay established."""

    def resume(self) -> None:
        """Let it run again."""

    def remove(self) -> None:
        """End it, with its data; harmless when it never ran."""

    def evidence(self) -> str:
        """The end of its log."""


class RedisServer:
    """A Redis that listens on 127.0.0.1 only. Not started until `start()`, or by `with`."""

    host = HOST

    def __init__(self, rung: RungName, carrier: Carrier) -> None:
        self.rung = rung
        self.version = ""  # known once it runs
        self.run_id = ""  # Redis's own (INFO server): another one after each start
        self._carrier = carrier

    @property
    def port(self) -> int:
        """The published port. A container's moves when it is restarted, so never keep it."""
        return self._carrier.port

    @property
    def pid(self) -> int | None:
        """The server's pid; None inside a container."""
        return self._carrier.pid

    def url(self, db: int = 0) -> str:
        """Its address for Celery, kombu and redis-py."""
        return f"redis://{self.host}:{self.port}/{db}"

    def client(
        self, db: int = 0, *, timeout: float = 2.0, protocol: Literal[2, 3] = 2, decode: bool = False
    ) -> "redis.Redis":
        """A client that tells the truth at once.

        No retries (redis-py's default of ten hides an outage for 15 s), `timeout` seconds for the connection and for
        each answer. Raises redis.ConnectionError or redis.TimeoutError when used. The caller closes it.
        """
        return redis.Redis(
            host=self.host,
            port=self.port,
            db=db,
            retry=Retry(NoBackoff(), 0),
            socket_timeout=timeout,
            socket_connect_timeout=timeout,
            protocol=protocol,
            client_name=CLIENT_NAME,
            decode_responses=decode,
        )

    def start(self) -> Self:
        """Start it and wait until it answers. Raises OSError, or NeverHappened."""
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
        raise PortTaken("five ports in a row were taken by others")

    def wait_ready(self, within: float = 15.0) -> None:
        """Wait until PING is answered by PONG: an open port is not enough, and LOADING is not ready."""
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
            return False  # somebody else's server, on the port that was to be ours: check() will say so
        self.version = str(info.get("valkey_version") or info["redis_version"])
        self.run_id = str(info["run_id"])
        return True

    def state(self) -> State:
        """Whether it runs, is paused or has ended."""
        return self._carrier.state()

    def kill(self) -> None:
        """SIGKILL. Persistent data are kept for `restart()`; connections are reset."""
        self.end(graceful=False)

    def end(self, *, graceful: bool) -> None:
        """SIGKILL, or SIGTERM when `graceful`; harmless when it has ended. Persistent data are kept."""
        self._carrier.halt(graceful=graceful)

    def relaunch(self, options: Mapping[str, str]) -> None:
        """SIGKILL and start again with more settings for once; does not wait. Raises OSError in a container."""
        self._carrier.once(options)
        self._carrier.halt(graceful=False)
        self._carrier.start()

    def restart(self, *, graceful: bool = False) -> None:
        """End it (SIGKILL, or SIGTERM when `graceful`) if it runs, start it again and wait until it answers.

        With persistence every acknowledged write is back (`appendfsync always`); without, the data are lost.
        """
        self._carrier.halt(graceful=graceful)
        self._carrier.start()
        self.wait_ready()

    def pause(self) -> None:
        """Stop it from running: connections stay established and nothing is answered."""
        self._carrier.pause()

    def resume(self) -> None:
        """End a pause; harmless without one."""
        self._carrier.resume()

    def stop(self) -> None:
        """End it and throw its data away. Harmless when it does not run."""
        self._carrier.remove()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def server_options(*, persistence: bool) -> dict[str, str]:
    """Redis settings that every rung shares."""
    return {
        "save": "",  # no snapshots: a fork in the middle of a measurement is a fault of its own
        "appendonly": "yes" if persistence else "no",
        "appendfsync": "always",
    }
