"""The command lines of a subject's processes: what is started for each name of a topology. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from brownout.plan.topology import Topology
from brownout.subject.application import Application
from brownout.subject.part import Part

HOSTED = "brownout.probes.hosted"  # the application with settings laid over it
CALLER = "brownout.probes.caller"


def celery_name(application: Application, topology: Topology) -> str:
    """What `celery -A` is given."""
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
    """The process of a topology that is called `name`; `port` is the API's, `files` the trial's directory."""
    role = name.partition("-")[0]
    celery = ("-A", celery_name(application, topology))
    level = ("--loglevel", topology.workers.log_level)
    if role == "api":
        where = ("--host", "127.0.0.1", "--port", str(port))
        return Part(name, "uvicorn", ("brownout.probes.api_tap:app", *where), root, env)
    if role == "relay":
        module, *args = application.relay
        return Part(name, module, tuple(args), root, env)
    if role == "beat":
        return Part(name, "celery", (*celery, "beat", *level, "--schedule", str(files / "schedule")), root, env)
    workers = topology.workers
    named = workers.queues or application.queues
    queues = ("-Q", ",".join(named)) if named else ()
    pool = ("-P", workers.pool, "-c", str(workers.concurrency))
    tap = ("-I", "brownout.probes.celery_tap")
    options = (*tap, *level, *queues, *pool, "-n", f"{name}@%h", *workers.options)
    return Part(name, "celery", (*celery, "worker", *options), root, env)


def caller_part(address: str, *, results: bool, root: Path, env: Mapping[str, str]) -> Part:
    """The process that sends and calls for the clients; with `results` it reads them from the result backend."""
    return Part("client", CALLER, (address, *(("results",) if results else ())), root, env)


def hosted_env(application: Application, topology: Topology) -> dict[str, str]:
    """What tells the processes of the application's settings, and of those that are laid over its own."""
    own = {"BROWNOUT_SETTINGS": application.settings} if application.settings else {}
    return {"BROWNOUT_CELERY": application.celery or "", "BROWNOUT_CONF": topology.settings_json, **own}
