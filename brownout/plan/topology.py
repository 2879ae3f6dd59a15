"""What the subject consists of."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypedDict

CLIENT = ("client->broker", "client->backend")  # edges of the process that calls for the clients


@dataclass(frozen=True)
class Workers:
    """`count` workers, named worker-1, worker-2, ..., of one command line.

    `queues` are given to them with `-Q`; without any they read what the application's configuration says. `restarts`
    is how often a supervisor starts one that ended again.
    """

    count: int = 1
    pool: str = "prefork"
    concurrency: int = 1
    queues: tuple[str, ...] = ()
    restarts: int = 20
    options: tuple[str, ...] = ("--without-mingle", "--without-gossip", "--without-heartbeat")
    log_level: str = "INFO"

    def __post_init__(self) -> None:
        if self.count < 0 or self.concurrency < 1:
            raise ValueError("a topology has 0 or more workers, each with a concurrency of 1 or more")


class WorkersFields(TypedDict, total=False):
    """Fields of Workers by name, all but `count`."""

    pool: str
    concurrency: int
    queues: tuple[str, ...]
    restarts: int
    options: tuple[str, ...]
    log_level: str


@dataclass(frozen=True)
class Topology:
    """The subject's processes, services and edges.

    `servers` is 1 when there is an API, else 0: clients reach it at one port, and witnesses know it by one name. An API
    of several processes is its server's affair. `edges` are written "api->broker"; the default has those of the
    processes that are there. `persistent` keeps the broker's data on disk over a restart. `env` is given to every
    process. `settings` of Celery are laid over the application's own. Raises ValueError.
    """

    workers: Workers = field(default_factory=Workers)
    servers: int = 1
    relay: bool = False
    beat: bool = False
    persistent: bool = True
    edges: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict, hash=False)
    settings: Mapping[str, Any] = field(default_factory=dict, hash=False)

    def __post_init__(self) -> None:
        if self.servers not in (0, 1):
            raise ValueError(f"a topology has one API process or none (`servers` is 0 or 1), not {self.servers}")

    @property
    def processes(self) -> tuple[str, ...]:
        """Names of the processes."""
        return (
            *(("api",) if self.servers else ()),
            *(f"worker-{n + 1}" for n in range(self.workers.count)),
            *(("relay",) if self.relay else ()),
            *(("beat",) if self.beat else ()),
        )

    @property
    def settings_json(self) -> str:
        """The settings that are laid over, as JSON; equal settings have equal texts."""
        return json.dumps(dict(self.settings), sort_keys=True)

    @property
    def links(self) -> tuple[str, ...]:
        """Names of the edges, those of the processes unless `edges` says otherwise."""
        roles = dict.fromkeys(name.partition("-")[0] for name in self.processes)
        reached = {"relay": ("broker",), "beat": ("broker",)}
        usual = tuple(f"{role}->{end}" for role in roles for end in reached.get(role, ("broker", "backend")))
        return self.edges or ("client->api",) * bool(self.servers) + usual

    @property
    def redis_edges(self) -> tuple[str, ...]:
        """Names of the edges on which Redis is spoken, those of one process and those of a role."""
        return tuple(name for name in self.targets if "->" in name and not name.endswith("->api"))

    @property
    def targets(self) -> tuple[str, ...]:
        """Everything that a fault may be aimed at: an edge of one process, or of all that play a role."""
        own = (f"{name}->{end}" for name in self.processes for end in ("broker", "backend"))
        return tuple(dict.fromkeys((*self.processes, *self.links, *own, "client", *CLIENT, "broker", "backend")))


class TopologyFields(TypedDict, total=False):
    """Fields of Topology by name."""

    workers: Workers
    servers: int
    relay: bool
    beat: bool
    persistent: bool
    edges: tuple[str, ...]
    env: Mapping[str, str]
    settings: Mapping[str, Any]
