"""A system whose every connection to Redis can be cut, and whose every process comes back, as in production."""

from pathlib import Path
from typing import Any

from brownout.subject.processes.supervisor import Supervisor
from brownout.subject.servers.redis_server import RedisServer
from brownout.wire import Edge, Wire
from tests.integration.running import Running, settings

EDGES = ("api->broker", "worker->broker", "worker->backend", "alone->broker")


class Fragile(Running):
    """API, relay and two workers (-c 1), each under a supervisor; Redis keeps its data over a restart."""

    def __init__(self, folder: Path, server: RedisServer, wire: Wire, **values: Any) -> None:
        upstream = f"{server.host}:{server.port}"
        self.edges: dict[str, Edge] = {name: wire.edge(name, upstream) for name in EDGES}
        urls = {name: f"redis://{edge.address}" for name, edge in self.edges.items()}
        given = settings(folder, f"{urls['worker->broker']}/0", f"{urls['worker->backend']}/1", **values)
        super().__init__(folder, given, server)
        self.api(supervised=True, SYSTEM_BROKER_URL=f"{urls['api->broker']}/0")
        for name in ("worker-1", "worker-2"):
            self.worker(name, "-c", "1", supervised=True)
        self.relay(supervised=True)

    def supervisors(self) -> dict[str, Supervisor]:
        """What starts each part again."""
        return {name: part for name, part in self.parts.items() if isinstance(part, Supervisor)}

    def restart_redis(self) -> None:
        """SIGKILL Redis if it runs, and start it again with its data. A container has another port then."""
        self.server.restart()
        for edge in self.edges.values():
            edge.redirect(f"{self.server.host}:{self.server.port}")
