"""Processes started cold and by forks: one behaves as the other."""

from __future__ import annotations

import json
import os
import signal
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from brownout.subject.part import Part
from brownout.subject.processes import custody, table
from brownout.subject.processes.forks import LIBRARIES, Forked, NotForkable
from brownout.subject.processes.launcher import Cold, Launcher
from brownout.subject.servers.redis_server import RedisServer
from brownout.subject.waiting import NeverHappened, eventually
from tests.kit.forking import PARENT, UP, Launch, Launching, StartForked, all_gone, children, in_state, is_up, living

pytestmark = [
    pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="needs pidfds (Linux)"),
    pytest.mark.usefixtures("heard"),
]


@pytest.fixture(scope="module")
def cold() -> Cold:
    return Cold()


@pytest.fixture(scope="module")
def forked(heard: None) -> Iterator[Forked]:
    with Forked(("json", "no.such.module"), env={"ITS_OWN": "1"}) as launcher:
        assert launcher.remarks == ()
        yield launcher
        assert launcher.cold_because == set()


@pytest.fixture
def start_forked(heard: None) -> Iterator[StartForked]:
    """Start one of the test's own; it is closed at the end."""
    started: list[Forked] = []

    def start(*args: Any, **kwargs: Any) -> Forked:
        started.append(Forked(*args, **kwargs))
        return started[-1]

    yield start
    for launcher in started:
        launcher.close()


@pytest.fixture(params=["cold", "forked"])
def launcher(request: pytest.FixtureRequest) -> Launcher:
    return request.getfixturevalue(request.param)  # type: ignore[no-any-return] # one of the two above


@pytest.fixture
def launch(launcher: Launcher, tmp_path: Path) -> Iterator[Launch]:
    with Launching(launcher, tmp_path) as start:
        yield start


# --- how a process ends


@pytest.mark.parametrize(
    ("code", "expected", "said"),
    [
        ("print('a')", 0, "a"),
        ("raise SystemExit(3)", 3, ""),
        ("raise SystemExit('a reason')", 1, "a reason"),
        ("raise ValueError('a reason')", 1, "ValueError: a reason"),
        ("raise KeyboardInterrupt", -signal.SIGINT, "KeyboardInterrupt"),
        ("import os; os.kill(os.getpid(), 15)", -signal.SIGTERM, ""),
        ("import os; os._exit(4)", 4, ""),
        ("import atexit; atexit.register(print, 'at exit')", 0, "at exit"),
        ("import sys; sys.stdout.write('unended')", 0, "unended"),
        (
            "import threading, time; threading.Thread(target=lambda: (time.sleep(0.05), print('joined'))).start()",
            0,
            "joined",
        ),
        ("import sys; sys.exit(sys.stdin.read() != '')", 0, ""),
    ],
)
def test_it_ends_as_an_interpreter_does(launch: Launch, code: str, expected: int, said: str) -> None:
    process = launch(code)
    assert process.wait(20) == expected
    assert process.log.read_text().strip().endswith(said)
    assert bool(process.log.read_text().strip()) == bool(said)
    assert (process.alive, process.returncode, process.handle.ended(0)) == (False, expected, True)


@pytest.mark.parametrize("sig", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_a_signal_of_ours_ends_it(launch: Launch, sig: int) -> None:
    process = launch(UP)
    assert (process.alive, process.returncode, process.handle.ended(0)) == (True, None, False)
    process.signal(sig)
    assert process.wait(20) == -sig
    process.signal(sig)  # to nobody


def test_waiting_in_vain_shows_the_log(launch: Launch) -> None:
    with pytest.raises(NeverHappened, match=r"it .pid [0-9]+. has ended\n(.*\n)*up"):
        launch(UP).wait(0.01)


def test_output_is_appended_in_the_order_of_its_making(launch: Launch, tmp_path: Path) -> None:
    (tmp_path / "log").mkdir()
    (tmp_path / "log" / "0").write_text("before\n")
    code = "import os, sys; print('out', flush=True); print('err', file=sys.stderr); os.system('echo child')"
    (process := launch(code)).wait(20)
    assert process.log.read_text().split() == ["before", "out", "err", "child"]


def test_what_cannot_be_started_raises(launcher: Launcher, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        launcher.launch(Part("it", "it", folder=tmp_path / "nowhere"), tmp_path / "log")


# --- what a process finds

FACTS = """
    import json, os, signal, sys, time
    from pathlib import Path

    def opened():
        found = {}
        for link in Path("/proc/self/fd").iterdir():
            try:
                info = Path(f"/proc/self/fdinfo/{link.name}").read_text().split()
                found.setdefault(str(link.readlink()), []).append(info[info.index("flags:") + 1])
            except FileNotFoundError:
                pass  # of the loop itself
        return found

    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    main = sys.modules["__main__"]
    print(json.dumps({
        "argv": sys.argv, "original argv": sys.orig_argv, "cwd": os.getcwd(), "path": sys.path, "env": dict(os.environ),
        "session": (os.getpid() == os.getsid(0) == os.getpgid(0)), "descriptors": opened(),
        "signals": {n: repr(signal.getsignal(n)) for n in signal.valid_signals()},
        "kernel's signals": {n: status[n] for n in ("SigBlk", "SigIgn", "SigCgt", "Umask")},
        "main": [__name__, main.__dict__ is globals(), sorted(globals()), __spec__.name, __file__],
        "streams": [[s.encoding, s.errors, s.line_buffering, s.isatty()] for s in (sys.stdin, sys.stdout, sys.stderr)],
        "flags": [repr(sys.flags), sys.warnoptions, repr(sys.excepthook), sys.gettrace()],
        "own modules": [name for name in sys.modules if name.startswith("brownout")],
        "time zone": time.tzname,
    }), flush=True)
"""


def test_a_fork_finds_what_a_cold_process_finds(
    cold: Cold, forked: Forked, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SET_LATER", "than the forker was started")
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    found: list[dict[str, Any]] = []
    other = forked.launch(Part("other", "timeit", ("-n1", "-r1", UP), tmp_path), tmp_path / "other")
    is_up(other)
    (tmp_path / "facts.py").write_text(textwrap.dedent(FACTS))
    each_in_turn: list[tuple[Launcher, Path]] = [(cold, tmp_path / "cold"), (forked, tmp_path / "forked")]
    for launcher, log in each_in_turn:
        process = launcher.launch(Part("it", "facts", ("-x", "two words"), tmp_path, {"A": "ä"}), log)
        assert process.wait(20) == 0, process.tail()
        found.append(json.loads(log.read_text().replace(str(log), "LOG")))
        process.kill()
    assert other.alive, other.tail()  # so there were descriptors to be inherited
    other.kill()
    assert found[1] == found[0]
    facts = found[1]
    assert facts["argv"] == [str(tmp_path / "facts.py"), "-x", "two words"]
    assert facts["path"][0] == facts["cwd"] == str(tmp_path)
    assert (facts["env"]["A"], facts["env"]["SET_LATER"]) == ("ä", "than the forker was started")
    assert facts["time zone"][0] == "JST"
    assert (facts["session"], facts["own modules"]) == (True, [])
    assert sorted(facts["descriptors"]) == ["/dev/null", "LOG"]


def test_forks_are_not_alike(forked: Forked, tmp_path: Path) -> None:
    with Launching(forked, tmp_path) as start:
        both = [start("import random, uuid; print(random.random(), uuid.uuid4())") for _ in range(2)]
        assert [each.wait(20) for each in both] == [0, 0]
        said = [each.log.read_text().split() for each in both]
    assert not set(said[0]) & set(said[1])


def test_a_fork_bears_the_mark_by_which_the_reaper_finds_it(forked: Forked, tmp_path: Path) -> None:
    with Launching(forked, tmp_path) as start:
        mark = f"{custody.RUN_VARIABLE}={custody.RUN}".encode()
        assert mark in Path(f"/proc/{start(UP).pid}/environ").read_bytes().split(b"\0")


MEDDLING = """
    import os, signal, threading
    from celery import Celery
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])
    threading.Thread(target=threading.Event().wait, daemon=True).start()
    os.environ["MADE"], READ, COPY = "by the import", os.environ.get("READ"), (dict(os.environ), [*os.environ.items()])
    application = Celery()
"""


def test_what_an_import_meddles_with_is_mended_or_told(
    start_forked: StartForked, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COPIED", "before")
    (tmp_path / "meddling.py").write_text(textwrap.dedent(MEDDLING))
    forked = start_forked(("meddling",), folder=tmp_path)
    with Launching(forked, tmp_path) as start:
        process = start(FACTS, COPIED="after")
        assert process.wait(20) == 0, process.tail()
        facts = json.loads(process.log.read_text())
        assert facts["signals"][str(int(signal.SIGTERM))] == repr(signal.SIG_DFL)
        assert facts["env"]["MADE"] == "by the import"
        assert int(facts["kernel's signals"]["SigBlk"], 16) == 0
        assert ["threads" in forked.remarks[0], "Celery application" in forked.remarks[1]] == [True, True]
        assert forked.remarks[2].endswith("libraries: meddling")
        assert forked.cold_because == set()
        start("print()", READ="something else")
        start("print()", PYTHONOPTIMIZE="1")
        assert forked.cold_because == {"READ", "PYTHONOPTIMIZE"}


def test_a_part_with_another_python_is_started_cold(forked: Forked, tmp_path: Path) -> None:
    other = tmp_path / "python"
    other.write_text(f'#!/bin/sh\necho another\nexec {sys.executable} "$@"\n')
    other.chmod(0o755)
    (tmp_path / "it.py").write_text("print('Python')")
    process = forked.launch(Part("it", "it", (), tmp_path, python=str(other)), tmp_path / "log")
    assert process.wait(20) == 0, process.tail()
    assert process.log.read_text().split() == ["another", "Python"]
    process.kill()


# --- what is imported before


@pytest.mark.parametrize("place", [".", "lib/python{}.{}/site-packages"], ids=["beside", "installed"])
def test_the_libraries_of_an_application_are_imported_and_not_itself(
    start_forked: StartForked, tmp_path: Path, place: str
) -> None:
    folder = tmp_path / place.format(*sys.version_info)
    (folder / "mine").mkdir(parents=True)
    (folder / "mine" / "__init__.py").touch()
    (folder / "mine" / "app.py").write_text("import colorsys, os, mine.part; os.environ['PLACE']; print('imported')")
    (folder / "mine" / "part.py").write_text("import sched")
    code = "import sys; print(*[n in sys.modules for n in ('colorsys', 'sched', 'mine')]); import mine.app"
    base = {"PYTHONUSERBASE": str(tmp_path)}
    forked = start_forked((), modules=["mine.app"], env={**base, "PLACE": "nowhere"}, folder=folder)
    with Launching(forked, folder) as start:
        assert (process := start(code, **base, PLACE="here")).wait(20) == 0, process.tail()
        assert process.log.read_text().split() == ["True", "True", "False", "imported"]
        assert (forked.remarks, forked.cold_because) == ((), set())


@pytest.mark.parametrize(
    ("code", "why"), [("1 / 0", "ZeroDivisionError"), ("import os; os._exit(0)", "the process ended")]
)
def test_an_application_that_cannot_be_imported_is_told(tmp_path: Path, code: str, why: str) -> None:
    (tmp_path / "broken.py").write_text(code)
    held = set(custody._held)
    with pytest.raises(NotForkable, match=f"can't be imported: .*{why}"):
        Forked((), modules=["broken"], folder=tmp_path)
    assert set(custody._held) == held


@pytest.mark.parametrize("where", ["preload", "scout"])
def test_a_start_that_takes_too_long_leaves_nothing(tmp_path: Path, where: str) -> None:
    pid = tmp_path / "pid"
    (tmp_path / "slow.py").write_text(
        f"import os, time; open({str(pid)!r}, 'w').write(str(os.getpid())); time.sleep(60)"
    )
    held = set(custody._held)
    preload, scouted = (["slow"], []) if where == "preload" else ([], ["slow"])
    for within in (1, 2, 4, 8, 16, 32):  # until the slow import has begun
        with pytest.raises(NeverHappened, match=f"still not true after {within} s: libraries"):
            Forked(preload, modules=scouted, folder=tmp_path, within=within)
        assert set(custody._held) == held
        if pid.exists() and pid.read_text():
            break
    all_gone(int(pid.read_text()))


# --- groups


def test_signals_reach_one_process_or_all(launch: Launch) -> None:
    process = launch(PARENT)
    below = children(process)
    started = [table.entry(pid).started for pid in below]  # type: ignore[union-attr] # they live
    assert len(below) == 2
    assert sorted(started, key=int) == started
    process.signal(signal.SIGSTOP)
    in_state(process.pid, "T")
    assert table.entry(below[0]).state != "T"  # type: ignore[union-attr]
    process.signal_group(signal.SIGSTOP)
    in_state(below[0], "T")
    assert process.alive
    os.kill(below[0], signal.SIGKILL)
    eventually(lambda: children(process) == below[1:], within=10, what="the dead child is not counted")


@pytest.mark.parametrize("first", [signal.SIGSTOP, signal.SIGKILL, None], ids=["stopped", "dead", "living"])
def test_a_kill_ends_the_whole_group(launch: Launch, first: int | None) -> None:
    process = launch(PARENT)
    pids = [process.pid, *children(process)]
    assert f"process {process.pid}" in custody._held
    if first:
        process.signal(first)
        in_state(process.pid, "T") if first == signal.SIGSTOP else process.wait(10)
    process.kill()
    assert not any(map(living, pids))
    assert children(process) == []
    assert f"process {process.pid}" not in custody._held
    assert process.returncode == -signal.SIGKILL
    process.kill()


# --- a Celery worker

TINY = """
    import os
    from celery import Celery

    app = Celery("tiny", broker=os.environ["TINY_REDIS"], backend=os.environ["TINY_REDIS"])
    app.conf.task_acks_late = os.environ["TINY_LATE"] == "yes"

    @app.task(name="tiny.asks", bind=True)
    def asks(self):
        return [self.acks_late, app.conf.task_acks_late, os.getppid()]
"""


def test_a_celery_worker_runs_tasks_either_way(
    start_forked: StartForked, tmp_path: Path, own_redis: RedisServer
) -> None:
    from celery import Celery

    (tmp_path / "tiny.py").write_text(textwrap.dedent(TINY))
    args = ("-A", "tiny", "worker", "-P", "prefork", "-c", "1", "--without-mingle", "--without-gossip")
    first = {"TINY_REDIS": "redis://127.0.0.1:1", "TINY_LATE": "no", "C_FORCE_ROOT": "1"}
    env = {"TINY_REDIS": own_redis.url(), "TINY_LATE": "yes", "C_FORCE_ROOT": "1"}
    forked = start_forked(LIBRARIES, modules=["tiny"], env=first, folder=tmp_path)
    assert forked.remarks == ()
    caller = Celery("caller", broker=own_redis.url(), backend=own_redis.url(), set_as_current=False)
    for name, launcher in (("cold", Cold()), ("forked", forked)):
        log = tmp_path / name
        process = launcher.launch(Part("worker", "celery", args, tmp_path, env), log)
        assert caller.send_task("tiny.asks").get(timeout=30) == [True, True, process.pid], process.tail()
        assert len(children(process)) == 1
        process.kill()
    assert forked.cold_because == set()
    caller.close()
