"""Processes launched cold and by forks: one behaves as the other, and nothing of either is left."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any, TypeVar

import pytest

from brownout.explore.launcher import LIBRARIES, Cold, Forked, Launcher, ZygoteEnded
from brownout.explore.spawned import Spawned
from brownout.subject import custody, table
from brownout.subject.redis_server import RedisServer
from brownout.subject.waiting import NeverHappened, eventually

pytestmark = [
    pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="needs pidfds (Linux)"),
    pytest.mark.usefixtures("heard"),
]

ROOT = Path(__file__).parents[2]
T = TypeVar("T")
Run = Callable[[Coroutine[Any, Any, T]], T]
Launch = Callable[..., Spawned]
StartForked = Callable[..., Forked]
UP = "import sys, time; print('up', flush=True); time.sleep(60)"
PARENT = """
    import subprocess, sys, time
    for _ in range(2):
        subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
        time.sleep(0.03)  # start times have a resolution of 10 ms
    print("up", flush=True)
    time.sleep(60)
"""


@pytest.fixture(scope="module")
def run() -> Iterator[Run[Any]]:
    """Run a coroutine on a loop in a thread of its own, where there are no signals and no child watchers."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    yield lambda work: asyncio.run_coroutine_threadsafe(work, loop).result(60)
    asyncio.run_coroutine_threadsafe(loop.shutdown_default_executor(), loop).result(60)
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()


async def cold_one() -> Cold:
    return Cold()


@pytest.fixture(scope="module")
def cold(run: Run[Any]) -> Iterator[Cold]:
    launcher: Cold = run(cold_one())
    yield launcher
    run(launcher.close())


@pytest.fixture(scope="module")
def forked(run: Run[Any], heard: None) -> Iterator[Forked]:
    launcher: Forked = run(Forked.start(("json", "no.such.module"), scout=((), {"ITS_OWN": "1"}, Path.cwd())))
    assert launcher.remarks == ()
    yield launcher
    assert launcher.cold_because == set()
    run(launcher.close())


@pytest.fixture
def start_forked(run: Run[Any], heard: None) -> Iterator[StartForked]:
    """Start one of the test's own; it is closed at the end."""
    started: list[Forked] = []

    def start(*args: Any, **kwargs: Any) -> Forked:
        started.append(run(Forked.start(*args, **kwargs)))
        return started[-1]

    yield start
    for each in started:
        run(each.close())


@pytest.fixture(params=["cold", "forked"])
def launcher(request: pytest.FixtureRequest) -> Launcher:
    return request.getfixturevalue(request.param)  # type: ignore[no-any-return] # one of the two above


@pytest.fixture
def launch(run: Run[Any], launcher: Launcher, tmp_path: Path) -> Iterator[Launch]:
    with Launching(run, launcher, tmp_path) as start:
        yield start


class Launching:
    """Gives `start(code)`, which runs it as a module and waits for the "up" that it prints, if it does."""

    def __init__(self, run: Run[Any], launcher: Launcher, folder: Path) -> None:
        self.run, self.launcher, self.folder = run, launcher, folder
        self.started: list[Spawned] = []

    def start(self, code: str, *args: str, **env: str) -> Spawned:
        (self.folder / "it.py").write_text(textwrap.dedent(code))
        log = self.folder / "log" / f"{len(self.started)}"
        spawned: Spawned = self.run(self.launcher.spawn("it", "it", args, env=env, cwd=self.folder, log=log))
        self.started.append(spawned)
        if "'up'" in code or '"up"' in code:
            eventually(lambda: "up" in spawned.tail(), within=20, what="the process prints", evidence=spawned.tail)
        return spawned

    def __enter__(self) -> Launch:
        return self.start

    def __exit__(self, *_: object) -> None:
        for each in self.started:
            self.run(each.kill())


def living(pid: int) -> bool:
    found = table.entry(pid)
    return found is not None and found.living


def all_gone(*pids: int) -> None:
    eventually(lambda: not any(map(living, pids)), within=15, what=f"all of {pids} end")


def in_state(pid: int, state: str) -> None:
    eventually(lambda: (found := table.entry(pid)) and found.state == state, within=10, what=f"{pid} is in {state}")


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
def test_it_ends_as_an_interpreter_does(launch: Launch, run: Run[Any], code: str, expected: int, said: str) -> None:
    spawned = launch(code)
    assert run(spawned.wait(20)) == expected
    assert spawned.log.read_text().strip().endswith(said)
    assert bool(spawned.log.read_text().strip()) == bool(said)
    assert (spawned.alive, spawned.returncode, spawned.exited.is_set()) == (False, expected, True)


@pytest.mark.parametrize("sig", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_a_signal_of_ours_ends_it(launch: Launch, run: Run[Any], sig: int) -> None:
    spawned = launch(UP)
    assert (spawned.alive, spawned.returncode, spawned.exited.is_set()) == (True, None, False)
    spawned.signal(sig)
    assert run(spawned.wait(20)) == -sig
    spawned.signal(sig)  # to nobody


def test_waiting_in_vain_shows_the_log(launch: Launch, run: Run[Any]) -> None:
    with pytest.raises(NeverHappened, match=r"it .pid [0-9]+. ends\n(.*\n)*up"):
        run(launch(UP).wait(0.01))


def test_output_is_appended_in_the_order_of_its_making(launch: Launch, run: Run[Any], tmp_path: Path) -> None:
    (tmp_path / "log").mkdir()
    (tmp_path / "log" / "0").write_text("before\n")
    code = "import os, sys; print('out', flush=True); print('err', file=sys.stderr); os.system('echo child')"
    run((spawned := launch(code)).wait(20))
    assert spawned.log.read_text().split() == ["before", "out", "err", "child"]


def test_what_cannot_be_started_raises(launcher: Launcher, run: Run[Any], tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        run(launcher.spawn("it", "it", (), env={}, cwd=tmp_path / "nowhere", log=tmp_path / "log"))


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
    run: Run[Any], cold: Cold, forked: Forked, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SET_LATER", "than the zygote was started")
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    found: list[dict[str, Any]] = []
    other = run(forked.spawn("other", "timeit", ["-n1", "-r1", UP], env={}, cwd=tmp_path, log=tmp_path / "other"))
    (tmp_path / "facts.py").write_text(textwrap.dedent(FACTS))
    each_in_turn: list[tuple[Launcher, Path]] = [(cold, tmp_path / "cold"), (forked, tmp_path / "forked")]
    for launcher, log in each_in_turn:
        spawned: Spawned = run(
            launcher.spawn("it", "facts", ("-x", "two words"), env={"A": "ä"}, cwd=tmp_path, log=log)
        )
        assert run(spawned.wait(20)) == 0, spawned.tail()
        found.append(json.loads(log.read_text().replace(str(log), "LOG")))
        run(spawned.kill())
    assert other.alive, other.tail()  # so there were descriptors to be inherited
    run(other.kill())
    assert found[1] == found[0]
    facts = found[1]
    assert facts["argv"] == [str(tmp_path / "facts.py"), "-x", "two words"]
    assert facts["path"][0] == facts["cwd"] == str(tmp_path)
    assert (facts["env"]["A"], facts["env"]["SET_LATER"]) == ("ä", "than the zygote was started")
    assert facts["time zone"][0] == "JST"
    assert (facts["session"], facts["own modules"]) == (True, [])
    assert sorted(facts["descriptors"]) == ["/dev/null", "LOG"]


def test_forks_are_not_alike(run: Run[Any], forked: Forked, tmp_path: Path) -> None:
    with Launching(run, forked, tmp_path) as start:
        both = [start("import random, uuid; print(random.random(), uuid.uuid4())") for _ in range(2)]
        assert [run(each.wait(20)) for each in both] == [0, 0]
        said = [each.log.read_text().split() for each in both]
    assert not set(said[0]) & set(said[1])


def test_a_fork_bears_the_mark_by_which_the_reaper_finds_it(run: Run[Any], forked: Forked, tmp_path: Path) -> None:
    with Launching(run, forked, tmp_path) as start:
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
    run: Run[Any], start_forked: StartForked, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COPIED", "before")
    (tmp_path / "meddling.py").write_text(textwrap.dedent(MEDDLING))
    forked = start_forked(("meddling",), cwd=tmp_path)
    with Launching(run, forked, tmp_path) as start:
        spawned = start(FACTS, COPIED="after")
        assert run(spawned.wait(20)) == 0, spawned.tail()
        facts = json.loads(spawned.log.read_text())
        assert facts["signals"][str(int(signal.SIGTERM))] == repr(signal.SIG_DFL)
        assert facts["env"]["MADE"] == "by the import"
        assert int(facts["kernel's signals"]["SigBlk"], 16) == 0
        assert ["threads" in forked.remarks[0], "Celery application" in forked.remarks[1]] == [True, True]
        assert forked.remarks[2].endswith("libraries: meddling")
        assert forked.cold_because == set()
        start("print()", READ="something else")
        start("print()", PYTHONOPTIMIZE="1")
        assert forked.cold_because == {"READ", "PYTHONOPTIMIZE"}


# --- what is imported before


@pytest.mark.parametrize("place", [".", "lib/python{}.{}/site-packages"], ids=["beside", "installed"])
def test_the_libraries_of_an_application_are_imported_and_not_itself(
    run: Run[Any], start_forked: StartForked, tmp_path: Path, place: str
) -> None:
    folder = tmp_path / place.format(*sys.version_info)
    (folder / "mine").mkdir(parents=True)
    (folder / "mine" / "__init__.py").touch()
    (folder / "mine" / "app.py").write_text("import colorsys, os, mine.part; os.environ['PLACE']; print('imported')")
    (folder / "mine" / "part.py").write_text("import sched")
    code = "import sys; print(*[n in sys.modules for n in ('colorsys', 'sched', 'mine')]); import mine.app"
    base = {"PYTHONUSERBASE": str(tmp_path)}
    forked = start_forked((), scout=(["mine.app"], {**base, "PLACE": "nowhere"}, folder))
    with Launching(run, forked, folder) as start:
        assert run((spawned := start(code, **base, PLACE="here")).wait(20)) == 0, spawned.tail()
        assert spawned.log.read_text().split() == ["True", "True", "False", "imported"]
        assert (forked.remarks, forked.cold_because) == ((), set())


@pytest.mark.parametrize(("code", "why"), [("1 / 0", "ZeroDivisionError"), ("import os; os._exit(0)", "it ended")])
def test_an_application_that_cannot_be_imported_is_told(run: Run[Any], tmp_path: Path, code: str, why: str) -> None:
    (tmp_path / "broken.py").write_text(code)
    held = set(custody._held)
    with pytest.raises(ValueError, match=f"can't be imported:\n(.*\n)*.*{why}"):
        run(Forked.start((), scout=(["broken"], {}, tmp_path)))
    assert set(custody._held) == held


@pytest.mark.parametrize("where", ["preload", "scout"])
def test_a_start_that_takes_too_long_leaves_nothing(run: Run[Any], tmp_path: Path, where: str) -> None:
    pid = tmp_path / "pid"
    (tmp_path / "slow.py").write_text(
        f"import os, time; open({str(pid)!r}, 'w').write(str(os.getpid())); time.sleep(60)"
    )
    held = set(custody._held)
    preload, scouted = (["slow"], []) if where == "preload" else ([], ["slow"])
    for within in (1, 2, 4, 8, 16, 32):  # until the slow import has begun
        with pytest.raises(NeverHappened, match=f"not within {within} s: libraries"):
            run(Forked.start(preload, scout=(scouted, {}, tmp_path), within=within))
        assert set(custody._held) == held
        if pid.exists() and pid.read_text():
            break
    all_gone(int(pid.read_text()))


# --- groups


def test_signals_reach_one_process_or_all(launch: Launch) -> None:
    spawned = launch(PARENT)
    children = spawned.children()
    started = [table.entry(pid).started for pid in children]  # type: ignore[union-attr] # they live
    assert len(children) == 2
    assert sorted(started, key=int) == started
    spawned.signal(signal.SIGSTOP)
    in_state(spawned.pid, "T")
    assert table.entry(children[0]).state != "T"  # type: ignore[union-attr]
    spawned.signal_group(signal.SIGSTOP)
    in_state(children[0], "T")
    assert spawned.alive
    os.kill(children[0], signal.SIGKILL)
    eventually(lambda: spawned.children() == children[1:], within=10, what="the dead child is not counted")


@pytest.mark.parametrize("first", [signal.SIGSTOP, signal.SIGKILL, None], ids=["stopped", "dead", "living"])
def test_a_kill_ends_the_whole_group(launch: Launch, run: Run[Any], first: int | None) -> None:
    spawned = launch(PARENT)
    pids = [spawned.pid, *spawned.children()]
    assert f"process {spawned.pid}" in custody._held
    if first:
        spawned.signal(first)
        in_state(spawned.pid, "T") if first == signal.SIGSTOP else run(spawned.wait(10))
    run(spawned.kill())
    assert not any(map(living, pids))
    assert spawned.children() == []
    assert f"process {spawned.pid}" not in custody._held
    assert spawned.returncode == -signal.SIGKILL
    run(spawned.kill())


@pytest.mark.parametrize("moment", ["asked", "answered"])
def test_a_launch_that_nobody_waits_for_any_more_is_undone(
    run: Run[Any], forked: Forked, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    (tmp_path / "it.py").write_text(UP)
    held, hear, pids = set(custody._held), forked._hear, list[int]()

    async def cancelled() -> None:
        spawning = forked.spawn("it", "it", (), env={}, cwd=tmp_path, log=tmp_path / "log")
        task = asyncio.get_running_loop().create_task(spawning)
        answered = asyncio.Event()

        def hearing(said: dict[str, Any]) -> None:
            hear(said)
            if "pid" in said:
                pids.append(said["pid"])
                answered.set()
                task.cancel()  # the answer is there, and the task has not gone on yet

        monkeypatch.setattr(forked, "_hear", hearing)
        await asyncio.sleep(0)
        if moment == "asked":
            task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await answered.wait()

    run(cancelled())
    all_gone(*pids)
    eventually(lambda: set(custody._held) == held, within=10, what="it is let go")


# --- when something dies


def test_without_the_process_that_forks_nothing_is_left(
    run: Run[Any], start_forked: StartForked, tmp_path: Path
) -> None:
    forked = start_forked(())
    with Launching(run, forked, tmp_path) as start:
        spawned = start(PARENT)
        pids = [spawned.pid, *spawned.children()]
        assert len(pids) == 3
        forked._zygote.signal(signal.SIGKILL)
        assert run(spawned.wait(10)) == -signal.SIGKILL
        all_gone(*pids)
        with pytest.raises(ZygoteEnded, match="the process that forks has ended"):
            start(UP)


def test_a_launch_on_its_way_when_the_process_that_forks_dies_raises(
    run: Run[Any], start_forked: StartForked, tmp_path: Path
) -> None:
    forked = start_forked(())
    forked._zygote.signal(signal.SIGSTOP)
    in_state(forked._zygote.pid, "T")

    async def asked() -> None:
        async with asyncio.timeout(20):
            spawning = forked.spawn("it", "it", (), env={}, cwd=tmp_path, log=tmp_path / "log")
            task = asyncio.get_running_loop().create_task(spawning)
            await asyncio.sleep(0)
            forked._zygote.signal(signal.SIGKILL)
            with pytest.raises(ZygoteEnded):
                await task

    run(asked())


@pytest.mark.parametrize("kind", ["cold", "forked"])
def test_closing_leaves_nothing(run: Run[Any], tmp_path: Path, kind: str) -> None:
    held, opened = set(custody._held), descriptors()
    launcher: Launcher = run(Forked.start(()) if kind == "forked" else cold_one())
    start = Launching(run, launcher, tmp_path).start
    pids = [pid for spawned in (start(UP), start(PARENT), start("")) for pid in (spawned.pid, *spawned.children())]
    run(launcher.close())
    assert not any(map(living, pids))
    assert (set(custody._held), descriptors()) == (held, opened)
    if kind == "forked":
        with pytest.raises(ZygoteEnded, match="closed"):
            start(UP)


def descriptors() -> list[str]:
    """Open files of this process, less the one of the listing."""
    names = [link.name for link in Path("/proc/self/fd").iterdir()]
    return [name for name in names if Path(f"/proc/self/fd/{name}").is_symlink()]


CAMPAIGN = """
    import asyncio, json, time
    from pathlib import Path
    from brownout.explore.launcher import Forked
    from brownout.subject import custody

    async def main():
        forked = await Forked.start(())
        here = Path.cwd()
        spawned = await forked.spawn("it", "it", (), env={}, cwd=here, log=here / "log")
        while "up" not in spawned.tail():
            await asyncio.sleep(0.01)
        pids = [spawned.pid, *spawned.children()]
        print(json.dumps({"pids": pids, "zygote": forked._zygote.pid, "reaper": custody._reaper.pid}), flush=True)
        await asyncio.sleep(600)

    asyncio.run(main())
"""


@pytest.mark.parametrize("other", ["reaper", "zygote", None])
def test_a_killed_campaign_leaves_nothing(tmp_path: Path, other: str | None) -> None:
    """Both the reaper and the process that forks clean up: either does it alone."""
    (tmp_path / "it.py").write_text(textwrap.dedent(PARENT))
    campaign = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(CAMPAIGN)],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
    )
    try:
        assert campaign.stdout is not None
        facts = json.loads(campaign.stdout.readline())
        assert len(facts["pids"]) == 3
        assert all(map(living, [*facts["pids"], facts["zygote"], facts["reaper"]]))
        campaign.send_signal(signal.SIGSTOP)  # so that it cannot act on what comes
        if other:
            os.kill(facts[other], signal.SIGKILL)
    finally:
        campaign.kill()
        campaign.wait()
        campaign.stdout.close()  # type: ignore[union-attr] # a pipe
    all_gone(*facts["pids"], facts["zygote"], facts["reaper"])


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
    run: Run[Any], start_forked: StartForked, tmp_path: Path, own_redis: RedisServer
) -> None:
    from celery import Celery

    (tmp_path / "tiny.py").write_text(textwrap.dedent(TINY))
    scout = (["tiny"], {"TINY_REDIS": "redis://127.0.0.1:1", "TINY_LATE": "no", "C_FORCE_ROOT": "1"}, tmp_path)
    args = ["-A", "tiny", "worker", "-P", "prefork", "-c", "1", *(f"--without-{x}" for x in ("mingle", "gossip"))]
    env = {"TINY_REDIS": own_redis.url(), "TINY_LATE": "yes", "C_FORCE_ROOT": "1"}
    forked = start_forked(LIBRARIES, scout=scout)
    assert forked.remarks == ()
    caller = Celery("caller", broker=own_redis.url(), backend=own_redis.url(), set_as_current=False)
    for name, launcher in (("cold", Cold()), ("forked", forked)):
        log = tmp_path / name
        spawned: Spawned = run(launcher.spawn("worker", "celery", args, env=env, cwd=tmp_path, log=log))
        assert caller.send_task("tiny.asks").get(timeout=30) == [True, True, spawned.pid], spawned.tail()
        assert len(spawned.children()) == 1
        run(launcher.close())
    assert forked.cold_because == set()
    caller.close()
