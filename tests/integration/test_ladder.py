"""Every rung of the Redis ladder lives the same life, on 127.0.0.1 only; and the plugin says which one it chose."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
import redis

from brownout.subject import ports
from brownout.subject.servers import docker_api, ladder, redis_local
from brownout.subject.servers.ladder import NoRedis
from brownout.subject.servers.redis_server import RedisServer
from tests.measured import measured


@pytest.fixture(params=["container", "local", "embedded"])
def rung(request: pytest.FixtureRequest) -> ladder.Rung:
    try:
        return ladder.find(request.param)
    except NoRedis as error:
        pytest.skip(str(error))


@pytest.fixture
def server(rung: ladder.Rung) -> Iterator[RedisServer]:
    with ladder.server(rung, persistence=True) as running:
        yield running


def listening_on(port: int) -> set[str]:
    found = [
        connection.laddr for connection in psutil.net_connections(kind="tcp") if connection.status == psutil.CONN_LISTEN
    ]
    return {address.ip for address in found if address and address.port == port}


def test_a_server_lives_dies_and_comes_back_with_its_data(server: RedisServer) -> None:
    assert listening_on(server.port) == {"127.0.0.1"}
    first = server.run_id
    with server.client() as client:
        assert client.set("kept", "1")
    server.kill()
    with server.client() as client, pytest.raises(redis.ConnectionError):
        client.ping()
    server.restart()
    assert server.run_id != first
    assert listening_on(server.port) == {"127.0.0.1"}
    with server.client() as client:
        assert client.get("kept") == b"1"
        server.pause()
        began = time.monotonic()
        with server.client(timeout=0.2) as impatient, pytest.raises(redis.TimeoutError):
            impatient.ping()
        assert time.monotonic() - began >= 0.2
        server.resume()
        assert client.get("kept") == b"1", "the connection of before the pause is still good"


def test_a_graceful_restart_keeps_the_data_too(server: RedisServer) -> None:
    with server.client() as client:
        client.rpush("queue", "a", "b")
    server.restart(graceful=True)
    with server.client() as client:
        assert client.lrange("queue", 0, -1) == [b"a", b"b"]


def test_a_paused_server_can_be_stopped_and_started_anew(server: RedisServer) -> None:
    with server.client() as client:
        client.set("gone", "1")
    server.pause()
    server.stop()
    assert listening_on(server.port) == set()
    server.start()
    with server.client() as client:
        assert client.dbsize() == 0, "stop() throws the data away"


def test_settings_reach_the_server(rung: ladder.Rung) -> None:
    with ladder.server(rung, options={"maxmemory": "12mb"}) as server, server.client() as client:
        settings = client.config_get("*")
        assert settings["maxmemory"] == str(12 * 2**20)
        assert settings["appendonly"] == "no"
        assert server.version.startswith(rung.version)
        assert server.url(3) == f"redis://127.0.0.1:{server.port}/3"


def test_what_redis_does_not_accept_is_shown(rung: ladder.Rung) -> None:
    broken = ladder.server(rung, options={"maxmemory": "plenty"})
    with pytest.raises(OSError, match="argument must be a memory value"):
        broken.start()


@pytest.fixture
def local() -> ladder.Rung:
    try:
        return ladder.choose("local")
    except NoRedis as error:
        pytest.skip(str(error))


def test_a_port_that_somebody_took_first_is_not_insisted_on(
    local: ladder.Rung, monkeypatch: pytest.MonkeyPatch
) -> None:
    if local.name == "container":
        pytest.skip("Docker chooses the port of a container")
    with ladder.server(local) as other, socket.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))
        deaf.listen()
        offered = iter([other.port, deaf.getsockname()[1], ports.free_port()])
        monkeypatch.setattr(redis_local, "free_port", lambda: next(offered))
        with ladder.server(local) as server:
            assert server.port not in (other.port, deaf.getsockname()[1])
            assert server.run_id != other.run_id, "somebody else's PONG is no answer"


def test_a_daemon_that_never_answers_costs_two_seconds_and_a_rung(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("testcontainers")
    with socket.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))
        deaf.listen()
        monkeypatch.setenv("DOCKER_HOST", f"tcp://127.0.0.1:{deaf.getsockname()[1]}")
        with measured() as span, pytest.raises(NoRedis, match="no answer from the Docker daemon"):
            ladder.find("container")
        assert span.least < 4 * docker_api.ANSWER_WITHIN


@pytest.mark.parametrize("host", ["unix:///no/such/socket", "tcp://127.0.0.1:1"])
def test_without_a_daemon_the_next_rung_is_taken(host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("testcontainers")
    monkeypatch.setenv("DOCKER_HOST", host)
    try:
        rung = ladder.choose("container")
    except NoRedis as error:
        pytest.skip(str(error))
    assert rung.name in ("local", "embedded")
    assert f"no answer from the Docker daemon {host}" in rung.passed_over[0]


def test_an_image_that_cannot_be_had_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("testcontainers")
    try:
        docker_api.call("GET", "/version")
    except docker_api.DockerError as error:
        pytest.skip(str(error))
    monkeypatch.setenv("BROWNOUT_REDIS_IMAGE", "127.0.0.1:1/nobody/has-this:1")
    with pytest.raises(NoRedis, match=r"127\.0\.0\.1:1/nobody/has-this:1: "):
        ladder.find("container")
    monkeypatch.setattr(docker_api, "pull", lambda *_, **__: pytest.fail("pulled again"))
    with pytest.raises(NoRedis, match=r"127\.0\.0\.1:1/nobody/has-this:1: "):
        ladder.find("container")


# The plugin, seen from outside: a pytest of its own.

SHARED = """
import pytest
run_ids = []

@pytest.mark.parametrize("nth", [1, 2])
def test_shared(redis_server, nth):
    with redis_server.client() as client:
        assert client.dbsize() == 0, "flushed"
        client.set("left", "behind")
        run_ids.append(client.info("server")["run_id"])
    assert len(set(run_ids)) == 1, "one server"

def test_own(own_redis):
    with own_redis.client() as client:
        client.set("kept", "1")
    own_redis.restart()
    with own_redis.client() as client:
        assert client.get("kept") == b"1"
        assert client.info("server")["run_id"] not in run_ids
"""
BREAKING = """
def test_breaks_it(redis_server):
    redis_server.restart()

def test_after(redis_server):
    with redis_server.client() as client:
        assert client.ping()
"""


def pytest_in(folder: Path, code: str, *options: str, **env: str) -> subprocess.CompletedProcess[str]:
    (folder / "test_it.py").write_text(code)
    (folder / "pytest.ini").write_text("[pytest]\nfilterwarnings = error\n")
    root = str(Path(__file__).parents[2])
    plain = ["-p", "no:cacheprovider", "-p", "brownout.pytest_plugin", "-p", "no:randomly"]
    return subprocess.run(
        [sys.executable, "-m", "pytest", *plain, *options],
        cwd=folder,
        env={**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTHONPATH": root, "BROWNOUT_REQUIRE": "", **env},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_the_fixtures_and_the_header(local: ladder.Rung, tmp_path: Path) -> None:
    ran = pytest_in(tmp_path, SHARED, f"--chaos-provider={local.name}")
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "3 passed" in ran.stdout
    assert f"brownout: {local} for integration" in ran.stdout
    assert f"brownout: {local} for chaos" in ran.stdout


def test_breaking_the_shared_server_is_an_error_and_no_trap_for_the_next(local: ladder.Rung, tmp_path: Path) -> None:
    ran = pytest_in(tmp_path, BREAKING, f"--chaos-provider={local.name}")
    assert "2 passed, 1 error" in ran.stdout
    assert "use the fixture own_redis" in ran.stdout


def test_a_rung_that_failed_after_the_header_is_told_at_the_end(tmp_path: Path) -> None:
    try:
        docker_api.call("GET", "/version")
        local = ladder.find("local")
    except (docker_api.DockerError, NoRedis) as error:
        pytest.skip(str(error))
    absent = "127.0.0.1:1/nobody/has-this:1"
    ran = pytest_in(tmp_path, BREAKING, "-k", "after", BROWNOUT_REDIS_IMAGE=absent)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert f"brownout: redis container {absent} (docker" in ran.stdout, "the header can only hope"
    assert f"brownout: ran on {local}; not on container: {absent}: " in ran.stdout


def test_without_any_redis_a_test_is_skipped_with_one_reason(tmp_path: Path) -> None:
    ran = pytest_in(tmp_path, BREAKING, "--chaos-provider=container", "-rs", DOCKER_HOST="unix:///no/such/socket")
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "2 skipped" in ran.stdout
    assert "install redis-server" in ran.stdout


def test_a_required_program_that_is_missing_is_an_error(tmp_path: Path) -> None:
    ran = pytest_in(tmp_path, "def test_nothing(): pass", BROWNOUT_REQUIRE="no-such-program,sh")
    assert ran.returncode == pytest.ExitCode.USAGE_ERROR
    assert "BROWNOUT_REQUIRE names 'no-such-program': not on PATH" in ran.stderr
    assert "'sh'" not in ran.stderr


def test_the_plugin_imports_nothing_heavy() -> None:
    """A budget in modules, not in milliseconds: what costs time at pytest's start are these."""
    code = "import pytest, sys; b = set(sys.modules); import brownout.pytest_plugin; print(*set(sys.modules) - b)"
    out = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=Path(__file__).parents[2]
    )
    assert set(out.stdout.split()) == {
        "brownout",
        "brownout.pytest_plugin",
        "brownout.pytest_options",
        "brownout.pytest_redis",
    }
