"""Makes the command line of each process that a topology names."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

from brownout.plan.topology import Topology
from brownout.subject.application import Application
from brownout.subject.environment import folder_of
from brownout.subject.part import Part

HOSTED = "brownout.probes.hosted"  # this module imports the application and overrides some of its Celery settings
CALLER = "brownout.probes.caller"
TAPPED = "brownout.probes.publish_tap"  # This module runs another module, and records the tasks that are published.
PATCHING = ("gevent", "eventlet")  # Pools that patch the standard library before anything else is imported.


def celery_name(application: Application, topology: Topology) -> str:
    """Return the text that follows `celery -A` on the command line."""
    return HOSTED if topology.settings else str(application.celery)


def part_of(
    name: str,
    application: Application,
    topology: Topology,
    *,
    root: Path,
    env: Mapping[str, str],
    files: Path,
    port: int = 0,
) -> Part:
    """Return the part (process) `name` of a topology, where `port` is the port of the API, and `files` is the trial's
    directory."""
    role = name.partition("-")[0]
    celery = ("-A", celery_name(application, topology))
    level = ("--loglevel", topology.workers.log_level)
    workers = topology.workers
    module, forkable = "celery", True
    args: tuple[str, ...]
    if role == "api":
        module = "uvicorn"
        args = ("brownout.probes.api_tap:app", "--host", "127.0.0.1", "--port", str(port))
    elif role == "relay":
        module, args = TAPPED, tuple(application.relay)
    elif role == "beat":
        args = (*celery, "beat", *level, "--schedule", str(files / "schedule"))
    else:
        names = workers.queues or application.queues
        queues = ("-Q", ",".join(names)) if names else ()
        pool = ("-P", workers.pool, "-c", str(workers.concurrency))
        tap = ("-I", "brownout.probes.celery_tap")
        args = (*celery, "worker", *tap, *level, *queues, *pool, "-n", f"{name}@%h", *workers.options)
        forkable = workers.pool not in PATCHING
    return Part(name, module, args, folder_of(application, role, root), env, python_of(application), forkable)


def caller_part(address: str, *, application: Application, results: bool, root: Path, env: Mapping[str, str]) -> Part:
    """Return the part (process) that sends the clients' tasks; if `results` is true, the part also reads their results
    from the result backend."""
    args = (address, *(("results",) if results else ()))
    return Part("client", CALLER, args, folder_of(application, "worker", root), env, python_of(application))


def python_of(application: Application) -> str:
    """Return the Python that the application's processes run with."""
    return application.python or sys.executable


def hosted_env(application: Application, topology: Topology) -> dict[str, str]:
    """Return the environment variables that tell the probes which settings to override and which settings to record."""
    own = {"BROWNOUT_SETTINGS": application.settings} if application.settings else {}
    return {"BROWNOUT_CELERY": application.celery or "", "BROWNOUT_CONF": topology.settings_json, **own}
