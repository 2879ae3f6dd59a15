"""A run that is killed leaves nothing: no process, no port, no container, no directory."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from brownout.subject.processes import table
from brownout.subject.servers import docker_api, ladder
from brownout.subject.servers.ladder import NoRedis
from brownout.subject.waiting import eventually

ROOT = Path(__file__).parents[2]
Drive = Callable[[str], tuple[subprocess.Popen[str], dict[str, Any]]]

# What every driver has: `launch(code)`, `say(**facts)`; then it sleeps until it is killed. Processes are launched
# with an empty environment unless a test is about that: the reaper's two ways of finding them are tested apart.
PREAMBLE = """
    import json, os, signal, sys, time
    from pathlib import Path
    from brownout.subject.processes import custody
    from brownout.subject.servers import ladder
    from brownout.subject.processes.process import Process
    from brownout.subject.waiting import eventually

    def launch(code, *prefix):
        argv = [*(prefix or ("env", "-i")), sys.executable, "-c", code]
        process = Process.launch("it", argv, log=Path(f"{time.monotonic_ns()}.log"))
        eventually(lambda: "up" in process.tail(), within=20, what="the process prints")
        return process

    def say(**facts):
        print(json.dumps({"reaper": custody._reaper.pid, "run": custody.RUN, **facts}), flush=True)
        time.sleep(600)
"""
SLEEP = "import time; print('up', flush=True); time.sleep(600)"
LISTEN = (
    "import socket, time; s = socket.socket(); s.bind(('127.0.0.1', 0)); s.listen();"
    "print('up', s.getsockname()[1], flush=True); time.sleep(600)"
)
PARENT = (
    "import subprocess, sys, time; c = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)']{});"
    "print('up', c.pid, flush=True); time.sleep(600)"
)


@pytest.fixture
def drive(tmp_path: Path) -> Iterator[Drive]:
    """Start a run of its own (another Python) and return it with the facts that it says."""
    driver: subprocess.Popen[str] | None = None

    def start(code: str) -> tuple[subprocess.Popen[str], dict[str, Any]]:
        nonlocal driver
        driver = subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(PREAMBLE) + textwrap.dedent(code)],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdout=subprocess.PIPE,
            text=True,
        )
        assert driver.stdout is not None
        return driver, json.loads(driver.stdout.readline() or '{"driver": "died"}')

    yield start
    if driver is not None:
        driver.kill()
        driver.wait()
        assert driver.stdout is not None
        driver.stdout.close()


def living(pid: int) -> bool:
    found = table.entry(pid)
    return found is not None and found.living


def all_gone(*pids: int) -> None:
    eventually(
        lambda: not any(map(living, pids)),
        within=15,
        what="all of them end",
        evidence=lambda: f"still there: {[pid for pid in pids if living(pid)]}",
    )


def test_a_killed_run_leaves_no_process_and_no_port(drive: Drive) -> None:
    driver, facts = drive(f"""
        plain, listening, paused = launch({SLEEP!r}), launch({LISTEN!r}), launch({SLEEP!r})
        parent, orphaning = launch({PARENT.format("")!r}), launch({PARENT.format("")!r})
        paused.signal_group(signal.SIGSTOP)
        pids = [p for each in (plain, listening, paused, parent, orphaning) for p in each.members()]
        orphaning.signal(signal.SIGKILL)
        orphaning.wait(10)
        pids.remove(orphaning.pid)
        say(pids=pids, port=int(listening.tail().split()[-1]))
    """)
    assert len(facts["pids"]) == 6
    assert all(map(living, facts["pids"]))
    socket.create_connection(("127.0.0.1", facts["port"])).close()
    driver.kill()
    all_gone(*facts["pids"], facts["reaper"])
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", facts["port"]))


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="needs /proc")
def test_a_child_that_left_the_group_is_found_by_its_environment(drive: Drive) -> None:
    driver, facts = drive(f"""
        parent = launch({PARENT.format(", start_new_session=True")!r}, "env")
        say(pids=[parent.pid, int(parent.tail().split()[-1])])
    """)
    driver.kill()
    all_gone(*facts["pids"], facts["reaper"])


def test_signals_to_a_whole_session_do_not_end_the_reaper(drive: Drive) -> None:
    driver, facts = drive(f"""
        say(pid=launch({SLEEP!r}).pid)
    """)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        os.kill(facts["reaper"], number)
    driver.kill()
    all_gone(facts["pid"], facts["reaper"])


def test_a_reaper_that_was_killed_is_replaced_with_all_that_it_knew(drive: Drive) -> None:
    driver, facts = drive(f"""
        first = launch({SLEEP!r})
        custody._reaper.kill()
        custody._reaper.wait()
        say(pids=[first.pid, launch({SLEEP!r}).pid])
    """)
    driver.kill()
    all_gone(*facts["pids"], facts["reaper"])


def test_the_pipe_does_not_leak_into_children_or_forks(drive: Drive) -> None:
    driver, facts = drive(f"""
        child = launch({SLEEP!r})
        fork = os.fork()
        if not fork:
            time.sleep(600)
        say(pid=child.pid, fork=fork)
    """)
    try:
        driver.kill()
        all_gone(facts["pid"], facts["reaper"])
        assert living(facts["fork"]), "a fork of the run is not ours to end, and must not keep the reaper waiting"
    finally:
        os.kill(facts["fork"], signal.SIGKILL)


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="needs /proc")
def test_a_run_inside_a_run_keeps_its_reaper(drive: Drive, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BROWNOUT_RUN", "around")
    driver, facts = drive(f"""
        say(pid=launch({SLEEP!r}).pid)
    """)
    assert b"BROWNOUT_RUN" not in Path(f"/proc/{facts['reaper']}/environ").read_bytes()
    driver.kill()
    all_gone(facts["pid"], facts["reaper"])


def test_an_orderly_end_waits_until_all_is_gone(drive: Drive) -> None:
    driver, facts = drive(f"""
        time.sleep = lambda _: None
        say(pid=launch({SLEEP!r}).pid)
    """)
    assert driver.wait(20) == 0
    assert not living(facts["pid"])
    assert not living(facts["reaper"])


@pytest.mark.parametrize("name", ["container", "local", "embedded"])
def test_a_killed_run_leaves_no_redis(drive: Drive, name: str) -> None:
    try:
        ladder.find(name)  # type: ignore[arg-type]
    except NoRedis as error:
        pytest.skip(str(error))
    driver, facts = drive(f"""
        server = ladder.server(ladder.find({name!r}), persistence=True).start()
        server.pause()
        folder = getattr(server._carrier, "_folder", None)
        say(port=server.port, folder=str(folder) if folder else None)
    """)
    socket.create_connection(("127.0.0.1", facts["port"])).close()
    driver.kill()
    all_gone(facts["reaper"])
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", facts["port"]))
    if name == "container":
        label = json.dumps({"label": [f"brownout.run={facts['run']}"]})
        assert docker_api.call("GET", "/containers/json", all="1", filters=label) == []
    else:
        assert not Path(facts["folder"]).exists()


def test_a_directory_is_told_before_it_is_made(drive: Drive) -> None:
    """A process that is killed right after it has made the directory leaves none behind."""
    driver, facts = drive("""
        there, hold = [], custody.hold_directory
        custody.hold_directory = lambda path: (there.append(path.exists()), hold(path))
        folder = custody.make_directory("brownout-")
        say(there=there, folder=str(folder), mode=folder.stat().st_mode & 0o777)
    """)
    assert (facts["there"], facts["mode"]) == ([False], 0o700)
    driver.kill()
    all_gone(facts["reaper"])
    assert not Path(facts["folder"]).exists()


def test_a_process_that_was_not_told_yet_is_found_by_its_folder(drive: Drive) -> None:
    """SIGKILL between the start of a Redis and its entry at the reaper; Redis wipes what would mark it."""
    driver, facts = drive(f"""
        import subprocess, tempfile
        folder = Path(tempfile.mkdtemp(prefix="brownout-"))
        custody.hold_directory(folder)
        argv = ["env", "-i", sys.executable, "-c", {SLEEP!r}]
        inside = subprocess.Popen(argv, cwd=folder, stdout=subprocess.PIPE, start_new_session=True)
        outside = subprocess.Popen(argv, stdout=subprocess.PIPE, start_new_session=True)
        for each in (inside, outside):
            each.stdout.readline()
        say(inside=inside.pid, outside=outside.pid, folder=str(folder))
    """)
    try:
        driver.kill()
        all_gone(facts["inside"], facts["reaper"])
        assert not Path(facts["folder"]).exists()
        assert living(facts["outside"])  # nothing says that this one is the run's
    finally:
        for pid in (facts["inside"], facts["outside"]):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
