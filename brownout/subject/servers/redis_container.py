"""Runs a Redis server in a container, by testcontainers."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

from brownout.subject.ports import HOST
from brownout.subject.processes import custody
from brownout.subject.servers.redis_server import State, server_options

_INSIDE = "6379/tcp"


class ContainerCarrier:
    """Runs a container from an image that has `redis-server` on PATH. The published port changes with every start."""

    def __init__(self, image: str, *, persistence: bool, options: Mapping[str, str] | None = None) -> None:
        self.port = 0
        self._image = image
        self._options = {
            **server_options(persistence=persistence),
            # In protected mode Redis would refuse all clients, because inside the container their address is not
            # 127.0.0.1.
            "protected-mode": "no",
            **(options or {}),
        }
        self._testcontainer: Any = None
        self._container: Any = None  # the container object of docker-py

    @property
    def pid(self) -> None:
        """The result is None, because the server's pid belongs to another namespace."""

    def once(self, options: Mapping[str, str]) -> None:
        """Raise OSError, because a container cannot start with other settings."""
        raise OSError(f"a container cannot be restarted with the settings {dict(options)}; use a local Redis")

    def start(self) -> None:
        """Create and start the container, or start the existing container again."""
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
        # /data is a volume in the official image; in other images Docker creates the directory.
        new.with_kwargs(labels={custody.LABEL: custody.RUN}, working_dir="/data")
        new.ports = {_INSIDE: (HOST, None)}
        # testcontainers' own wait fails inside a container: it uses the gateway, where no port is published.
        new.waiting_for(None)
        self._testcontainer = new
        with _without_ryuk():
            new.start()
        self._container = new.get_wrapped_container()

    def state(self) -> State:
        """The present state of the container."""
        if self._container is None:
            return "ended"
        self._container.reload()
        known: dict[str, State] = {"running": "running", "paused": "paused"}
        return known.get(self._container.status, "ended")

    def check(self) -> None:
        """Raise OSError with the end of the log when the container has ended."""
        self._container.reload()
        if self._container.status not in ("running", "paused", "created", "restarting"):
            raise OSError(f"the Redis container is {self._container.status}\n{self.evidence()}")
        if not self.port and (published := self._container.ports.get(_INSIDE)):
            self.port = int(published[0]["HostPort"])

    def halt(self, *, graceful: bool) -> None:
        """End the container and keep its data."""
        self.resume()
        self._container.reload()
        if self._container.status == "running":
            self._container.stop(timeout=10) if graceful else self._container.kill()
            self._container.wait(timeout=15)

    def pause(self) -> None:
        """Freeze the container's processes by its cgroup."""
        self._container.pause()

    def resume(self) -> None:
        """Let a paused container run again."""
        self._container.reload()
        if self._container.status == "paused":
            self._container.unpause()

    def remove(self) -> None:
        """Remove the container and its volume."""
        if self._container:
            with suppress(Exception):  # if the container or the daemon is gone, `stop` below raises the error
                self.resume()
        if self._testcontainer:
            self._testcontainer.stop()
        self.port, self._testcontainer, self._container = 0, None, None

    def evidence(self) -> str:
        """The end of the container's log."""
        return str(self._container.logs(tail=20).decode(errors="replace")) if self._container else ""


@contextmanager
def _without_ryuk() -> Iterator[None]:
    """Switch off Ryuk, the reaper of testcontainers, because it needs another image, and brownout's own reaper removes
    the containers."""
    from testcontainers.core.config import testcontainers_config as config

    before = config.ryuk_disabled
    config.ryuk_disabled = True
    try:
        yield
    finally:
        config.ryuk_disabled = before
