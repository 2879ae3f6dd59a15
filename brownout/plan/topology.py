"""The processes, services and network edges of a subject, as data."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypedDict

CLIENT = ("client->broker", "client->backend")  # the network edges of the process that submits tasks for the clients


@dataclass(frozen=True)
class Workers:
    """`count` workers, named worker-1, worker-2, ..., with the same command line.

    The workers read the queues in `queues` (option `-Q`); if there are none, they read the queues that the application
    configures. A supervisor restarts each worker at most `restarts` times. Raises ValueError for a negative `count` or
    a `concurrency` below 1.
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
            needs = "a topology has 0 or more workers, each with a concurrency of 1 or more"
            raise ValueError(f"{needs}; not count={self.count}, concurrency={self.concurrency}")


class WorkersFields(TypedDict, total=False):
    """The fields of the class Workers except `count`, as keyword arguments."""

    pool: str
    concurrency: int
    queues: tuple[str, ...]
    restarts: int
    options: tuple[str, ...]
    log_level: str


@dataclass(frozen=True)
class Topology:
    """The subject's processes, services and network edges.

    `servers` is 1 when the subject has an API, else 0. An API server that forks several processes counts as one server,
    because clients reach it at one port and events give it one name. A network edge in `edges` is written like
    "api->broker"; the default is all edges of the subject's processes. If `persistent` is true, the broker keeps its
    data over a restart. Every process gets the environment variables `env`. `settings` override settings of Celery in
    the application's configuration. Raises ValueError when `servers` is neither 0 nor 1.
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
        """The names of the subject's processes."""
        return (
            *(("api",) if self.servers else ()),
            *(f"worker-{n + 1}" for n in range(self.workers.count)),
            *(("relay",) if self.relay else ()),
            *(("beat",) if self.beat else ()),
        )

    @property
    def settings_json(self) -> str:
        """The settings of Celery that the plan overrides, as JSON; equal settings have equal texts."""
        return json.dumps(dict(self.settings), sort_keys=True)

    @property
    def links(self) -> tuple[str, ...]:
        """The names of the network edges: the field `edges`, or by default the network edges of all processes."""
        roles = dict.fromkeys(name.partition("-")[0] for name in self.processes)
        services = {"relay": ("broker",), "beat": ("broker",)}
        usual = tuple(f"{role}->{end}" for role in roles for end in services.get(role, ("broker", "backend")))
        return self.edges or ("client->api",) * bool(self.servers) + usual

    @property
    def redis_edges(self) -> tuple[str, ...]:
        """The names of all network edges to Redis: those of one process ("worker-1->broker"), and those of all
        processes of one kind ("worker->broker")."""
        return tuple(name for name in self.targets if "->" in name and not name.endswith("->api"))

    @property
    def targets(self) -> tuple[str, ...]:
        """The names of everything that a fault can strike: processes, services, and network edges of one process or of
        all processes of one kind."""
        edges = (f"{name}->{end}" for name in self.processes for end in ("broker", "backend"))
        services = ("broker", "backend", "store")  # brownout has no fault for a store; its project may add one
        return tuple(dict.fromkeys((*self.processes, *self.links, *edges, "client", *CLIENT, *services)))


class TopologyFields(TypedDict, total=False):
    """The fields of the class Topology, as keyword arguments."""

    workers: Workers
    servers: int
    relay: bool
    beat: bool
    persistent: bool
    edges: tuple[str, ...]
    env: Mapping[str, str]
    settings: Mapping[str, Any]
