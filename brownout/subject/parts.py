"""Makes the command line of each process that a topology names."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from brownout.plan.topology import Topology
from brownout.subject.application import Application
from brownout.subject.part import Part

HOSTED = "brownout.probes.hosted"  # this module imports the application and overrides some of its Celery settings
CALLER = "brownout.probes.caller"
TAPPED = "brownout.probes.publish_tap"  # runs any module, and records what it publishes


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
    """Return the part `name` of a topology; `port` is the port of the API, `files` is the trial's directory."""
    role = name.partition("-")[0]
    celery = ("-A", celery_name(application, topology))
    level = ("--loglevel", topology.workers.log_level)
    if role == "api":
        where = ("--host", "127.0.0.1", "--port", str(port))
        return Part(name, "uvicorn", ("brownout.probes.api_tap:app", *where), root, env)
    if role == "relay":
        return Part(name, TAPPED, application.relay, root, env)
    if role == "beat":
        return Part(name, "celery", (*celery, "beat", *level, "--schedule", str(files / "schedule")), root, env)
    workers = topology.workers
    names = workers.queues or application.queues
    queues = ("-Q", ",".join(names)) if names else ()
    pool = ("-P", workers.pool, "-c", str(workers.concurrency))
    tap = ("-I", "brownout.probes.celery_tap")
    options = (*tap, *level, *queues, *pool, "-n", f"{name}@%h", *workers.options)
    return Part(name, "celery", (*celery, "worker", *options), root, env)


def caller_part(address: str, *, results: bool, root: Path, env: Mapping[str, str]) -> Part:
    """Return the part that sends the clients' tasks; with `results` it also reads their results from the result
    backend."""
    return Part("client", CALLER, (address, *(("results",) if results else ())), root, env)


def hosted_env(application: Application, topology: Topology) -> dict[str, str]:
    """Return the environment variables that tell the probes which settings to override and which settings to record."""
    own = {"BROWNOUT_SETTINGS": application.settings} if application.settings else {}
    return {"BROWNOUT_CELERY": application.celery or "", "BROWNOUT_CONF": topology.settings_json, **own}
