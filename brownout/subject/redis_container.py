"""A Redis server in a container, by testcontainers."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

from brownout.subject import custody
from brownout.subject.ports import HOST
from brownout.subject.redis_server import State, server_options

_INSIDE = "6379/tcp"


class ContainerCarrier:
    """Runs an image whose `redis-server` is on PATH. Its published port moves whenever it starts."""

    def __init__(self, image: str, *, persistence: bool, options: Mapping[str, str] | None = None) -> None:
        self.port = 0
        self._image = image
        self._options = {
            **server_options(persistence=persistence),
            # Only 127.0.0.1 of this machine can reach it, but inside the container that is another address.
            "protected-mode": "no",
            **(options or {}),
        }
        self._testcontainer: Any = None
        self._container: Any = None  # docker-py's

    @property
    def pid(self) -> None:
        """Not known: it is a pid of another namespace."""

    def once(self, options: Mapping[str, str]) -> None:
        """See Carrier."""
        raise OSError(f"a container starts again only as it was made, not with {dict(options)}: take a local Redis")

    def start(self) -> None:
        """Create the container the first time, start it again otherwise."""
        if self._container is None:
            self._create()
        else:
            self._container.start()
        self._container.reload()
        if published := self._container.ports.get(_INSIDE):
            self.port = int(published[0]["HostPort"])

    def _create(self) -> None:
        from testcontainers.community.redis import RedisContainer

        custody.hold_containers()
        command = ["redis-server", *(part for key, value in self._options.items() for part in (f"--{key}", value))]
        new: Any = RedisContainer(self._image)
        new.with_command(command)
        # A volume in the official image; made on the spot in any other.
        new.with_kwargs(labels={custody.LABEL: custody.RUN}, working_dir="/data")
        new.ports = {_INSIDE: (HOST, None)}
        # Its own wait asks the gateway's address when this process is in a container, where nothing is published.
        new.waiting_for(None)
        self._testcontainer = new
        with _without_ryuk():
            new.start()
        self._container = new.get_wrapped_container()

    def state(self) -> State:
        """See Carrier."""
        if self._container is None:
            return "ended"
        self._container.reload()
        known: dict[str, State] = {"running": "running", "paused": "paused"}
        return known.get(self._container.status, "ended")

    def check(self) -> None:
        """See Carrier."""
        self._container.reload()
        if self._container.status not in ("running", "paused", "created", "restarting"):
            raise OSError(f"the Redis container is {self._container.status}\n{self.evidence()}")
        if not self.port and (published := self._container.ports.get(_INSIDE)):
            self.port = int(published[0]["HostPort"])

    def halt(self, *, graceful: bool) -> None:
        """See Carrier."""
        self.resume()
        self._container.reload()
        if self._container.status == "running":
            self._container.stop(timeout=10) if graceful else self._container.kill()
            self._container.wait(timeout=15)

    def pause(self) -> None:
        """Freeze its cgroup."""
        self._container.pause()

    def resume(self) -> None:
        """Thaw its cgroup."""
        self._container.reload()
        if self._container.status == "paused":
            self._container.unpause()

    def remove(self) -> None:
        """Remove the container with its volume."""
        if self._container:
            with suppress(Exception):  # gone already, or the daemon with it: stop() below tells which
                self.resume()
        if self._testcontainer:
            self._testcontainer.stop()
        self.port, self._testcontainer, self._container = 0, None, None

    def evidence(self) -> str:
        """See Carrier."""
        return str(self._container.logs(tail=20).decode(errors="replace")) if self._container else ""


@contextmanager
def _without_ryuk() -> Iterator[None]:
    """Our own reaper removes our containers; Ryuk would need another image, and is not everywhere to be had."""
    from testcontainers.core.config import testcontainers_config as config

    before = config.ryuk_disabled
    config.ryuk_disabled = True
    try:
        yield
    finally:
        config.ryuk_disabled = before
