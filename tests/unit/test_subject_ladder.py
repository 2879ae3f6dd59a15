"""Which rung is taken, what is said about the others, and where Docker is looked for; nothing is started here."""

import hashlib
import json
from pathlib import Path

import pytest

from brownout.subject.servers import docker_api, ladder
from brownout.subject.servers.ladder import NoRedis, Rung

ALL = {"container", "local", "embedded"}


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """The rungs that bear, in a world made up for the test."""
    bearing: set[str] = set(ALL)

    def find(name: str, *, pull: bool = True) -> Rung:
        if name not in bearing:
            raise NoRedis(f"no {name} in this world")
        return Rung(name, "redis", "7.0.0")  # type: ignore[arg-type]

    monkeypatch.setattr(ladder, "find", find)
    return bearing


@pytest.mark.parametrize(
    ("prefer", "missing", "chosen"),
    [
        ("container", set(), "container"),
        ("container", {"container"}, "local"),
        ("container", {"container", "local"}, "embedded"),
        ("local", set(), "local"),
        ("local", {"local"}, "embedded"),
        ("local", {"local", "embedded"}, "container"),
    ],
)
def test_each_layer_takes_its_first_rung_that_bears(
    here: set[str], prefer: str, missing: set[str], chosen: str
) -> None:
    here -= missing
    rung = ladder.choose(prefer)  # type: ignore[arg-type]
    assert rung.name == chosen
    assert {line.partition(":")[0] for line in rung.passed_over} == missing
    assert all("\n" not in line and "in this world" in line for line in rung.passed_over)


@pytest.mark.parametrize("forced", sorted(ALL))
def test_a_forced_rung_is_taken_or_nothing(here: set[str], forced: str) -> None:
    assert ladder.choose("container", forced).name == forced
    here.discard(forced)
    with pytest.raises(NoRedis, match=f"no {forced} in this world"):
        ladder.choose("container", forced)


@pytest.mark.parametrize("nothing", [None, "", "auto"])
def test_auto_forces_nothing(here: set[str], nothing: str | None) -> None:
    assert ladder.choose("container", nothing).name == "container"


def test_an_unknown_provider_is_named(here: set[str]) -> None:
    with pytest.raises(NoRedis, match=r"'podman'.*auto, local, embedded, container"):
        ladder.choose("container", "podman")


def test_with_none_one_line_says_what_to_install(here: set[str]) -> None:
    here.clear()
    with pytest.raises(NoRedis) as caught:
        ladder.choose("local")
    assert "install redis-server" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_every_missing_requirement_is_listed(here: set[str], monkeypatch: pytest.MonkeyPatch) -> None:
    here.discard("container")
    monkeypatch.setenv("BROWNOUT_REQUIRE", "sh, container,no-such-program,local,")
    assert ladder.missing_requirements() == [
        "BROWNOUT_REQUIRE names 'container': no container in this world",
        "BROWNOUT_REQUIRE names 'no-such-program': not on PATH",
    ]


def test_nothing_required_nothing_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("BROWNOUT_REQUIRE", raising=False)
    assert ladder.missing_requirements() == []


def test_docker_host_comes_first_then_the_context_then_the_usual_socket(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("DOCKER_CONTEXT", raising=False)
    monkeypatch.delenv("DOCKER_HOST", raising=False)
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    assert docker_api.endpoint() == "unix:///var/run/docker.sock"

    (tmp_path / "config.json").write_text(json.dumps({"currentContext": "rootless"}))
    meta = tmp_path / "contexts" / "meta" / hashlib.sha256(b"rootless").hexdigest() / "meta.json"
    meta.parent.mkdir(parents=True)
    meta.write_text(json.dumps({"Endpoints": {"docker": {"Host": "unix:///run/user/1/docker.sock"}}}))
    assert docker_api.endpoint() == "unix:///run/user/1/docker.sock"

    monkeypatch.setenv("DOCKER_HOST", "tcp://127.0.0.1:1")
    assert docker_api.endpoint() == "tcp://127.0.0.1:1"


@pytest.mark.parametrize("host", ["tcp://build-box:2375", "ssh://me@build-box", "tcp://10.0.0.7:2376"])
def test_a_daemon_elsewhere_is_passed_over_without_being_asked(host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", host)
    with pytest.raises(docker_api.DockerError, match="not on this machine"):
        docker_api.call("GET", "/version")


def test_the_old_server_that_a_wheel_puts_beside_python_is_not_the_machines(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for folder in ("environment", "machine"):
        program = tmp_path / folder / "redis-server"
        program.parent.mkdir()
        program.write_text("#!/bin/sh\n")
        program.chmod(0o755)
    monkeypatch.setattr("sysconfig.get_path", lambda _name: str(tmp_path / "environment"))
    monkeypatch.setenv("PATH", f"{tmp_path / 'environment'}:{tmp_path / 'machine'}")
    assert ladder.on_path("redis-server") == str(tmp_path / "machine" / "redis-server")
    monkeypatch.setenv("PATH", str(tmp_path / "environment"))
    assert ladder.on_path("redis-server") is None
