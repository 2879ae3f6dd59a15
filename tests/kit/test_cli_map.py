"""Commands on real processes: what they find, what they exit with, and that nothing is left however they end."""

import os
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from brownout.explore.campaign import DISCOVERIES
from brownout.explore.maps.faultmap import FaultMap
from brownout.explore.options import COLD
from brownout.subject.waiting import eventually
from tests.kit.killable import LISTENING
from tests.kit.leftovers import MARK, listening, traces
from tests.kit.small_project import ROOT

AT_ONCE = 3.0  # s, or on a busy machine:
STARTS = 3  # times as long as this very command needed to start a process. What hangs in a trial hangs for 7 s.
CLI = (sys.executable, "-m", "brownout.cli")
JOBS = 3
# When so many trials have begun, JOBS of them may run. The rest are over, and one of those is a cell's: the others
# discover and confirm the points, are a control, or run from cold processes.
TRIED = DISCOVERIES + 1 + 1 + COLD + 1 + JOBS
LOST = "worker->broker/ZADD#1/before-cut"
GOOD = "worker->broker/ZREM#1/after-cut"
OWN = """
from celery import Celery

celery = Celery("own", broker="redis://127.0.0.1:1/0", backend="redis://127.0.0.1:1/1")


@celery.task(name="own.add")
def add(a, b=0):
    return a + b


@celery.task(name="own.broken")
def broken():
    raise RuntimeError("it never worked")
"""


@pytest.fixture
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the command runs; its path is short, because unix sockets' names must be (108 characters)."""
    found = tmp_path_factory.mktemp("m")
    (found / "tmp").mkdir()
    return found


@pytest.fixture
def environment(folder: Path) -> dict[str, str]:
    own = {"PYTHONPATH": str(ROOT), "TMPDIR": str(folder / "tmp"), MARK: str(folder), "COLUMNS": "100"}
    return os.environ | own


Command = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def brownout(folder: Path, environment: dict[str, str]) -> Command:
    def run(*argv: str, **env: str) -> subprocess.CompletedProcess[str]:
        whole = environment | env
        return subprocess.run([*CLI, *argv], cwd=folder, env=whole, capture_output=True, text=True, timeout=100)

    return run


def clean(folder: Path) -> bool:
    return not traces(folder).processes and not list((folder / "tmp").glob("brownout*"))


def test_one_cell_is_proved_and_its_command_shows_it_again(brownout: Command, folder: Path) -> None:
    first = brownout("map", LOST, GOOD, "--repeat", "2", "--config", "late", "--save", "kept/map.json")
    assert first.returncode == 1, first.stderr
    assert re.search(rf"^✗ {LOST}  invalid · lost ×2", first.stdout, re.MULTILINE), first.stdout
    assert re.search(rf"^✓ {GOOD}  valid · (once|recovered)", first.stdout, re.MULTILINE)
    assert "worker->broker  ZADD unacked_index;HSET unacked: cut(), before it" in first.stdout
    assert "stored in kept/map.json\n" in first.stderr
    kept = FaultMap.load(folder / "kept" / "map.json")
    assert (kept.title, kept.complete, kept.settings) == ("late/task", True, {"task_acks_late": True})
    assert (kept.result(LOST).seen, kept.controls.bad) == ({"lost": 2}, ())

    (again,) = re.findall(r"Again     brownout map (.*before-cut.*)", first.stdout)
    second = brownout("map", *shlex.split(again))
    assert second.returncode == 1
    assert f"✗ {LOST}  invalid · lost ×1" in second.stdout
    assert not (folder / "store" / "maps").exists(), "one cell is no map"
    assert len(list((folder / "store").glob("late-task*/2*/plan.json"))) == 2, "each command keeps one bad trial"
    assert clean(folder)


def test_the_keys_of_the_application_change_no_name_and_no_word(brownout: Command) -> None:
    """A prefix, other steps and another default queue: the same points, and the same to say of them."""
    options = '{"global_keyprefix": "shop:", "sep": ":", "priority_steps": [0, 1, 2, 3]}'
    found = brownout("map", LOST, GOOD, "--set", f"broker_transport_options={options}", "task_default_queue=shop")
    assert found.returncode == 1, found.stderr
    assert re.search(rf"^✗ {LOST}  invalid · lost ×1", found.stdout, re.MULTILINE), found.stdout
    assert re.search(rf"^✓ {GOOD}  valid · (once|recovered)", found.stdout, re.MULTILINE)
    assert "worker->broker  ZADD unacked_index;HSET unacked: cut(), before it" in found.stdout


def test_a_good_cell_is_green(brownout: Command) -> None:
    found = brownout("map", GOOD)
    assert found.returncode == 0, found.stdout + found.stderr
    assert found.stdout.endswith("✓ valid: exit code 0\n")


def test_a_map_is_a_grid_and_is_stored(brownout: Command, folder: Path) -> None:
    found = brownout("map", "--actions", "loading", "--jobs", "6", "--save", "store/maps/loading.json")
    assert found.returncode == 1, found.stderr
    assert "  lost             brownout map 'worker->broker/ZADD#1/before-loading'\n" in found.stdout
    assert re.search(r"^✗ ZADD#1 +LOST$", found.stdout, re.MULTILINE), found.stdout
    assert "2 from cold processes" in found.stdout
    assert "stored in store/maps/loading.json\n" in found.stderr
    kept = FaultMap.load(folder / "store" / "maps" / "loading.json")
    assert f"{len(kept.cells)} cells: " in found.stdout
    shown = brownout("show", "loading").stdout
    assert shown.partition("worker->broker\n")[2] == found.stdout.partition("worker->broker\n")[2]


def test_a_part_of_a_map_does_not_replace_a_whole_one(brownout: Command, folder: Path) -> None:
    found = brownout("map", "--point", "worker->broker/ZADD", "--actions", "cut", "--json", "-", "--jobs", "4")
    assert [result.cell.point.command for result in FaultMap.from_json(found.stdout).cells] == ["ZADD", "ZADD"]
    assert not (folder / "store" / "maps").exists()


def test_two_machines_make_one_map(brownout: Command, folder: Path) -> None:
    chosen = ("--point", "worker->broker/ZADD", "--actions", "cut", "--jobs", "4")
    for n in (1, 2):
        part = brownout("map", *chosen, "--shard", f"{n}/2")
        assert part.returncode in (0, 1), part.stderr
        assert f"stored in store/maps/defaults-task.{n}-of-2.json\n" in part.stderr
        assert f"1 cell of shard {n}/2: " in part.stdout
    parts = [f"store/maps/defaults-task.{n}-of-2.json" for n in (1, 2)]
    merged = brownout("merge", *parts, "--json", "-", GITHUB_STEP_SUMMARY=str(folder / "summary.md"))
    assert merged.returncode == 1, merged.stderr
    whole = FaultMap.from_json(merged.stdout)
    assert [result.cell.moment for result in whole.cells] == ["before", "after"]
    assert (whole.shard, whole.part, whole.complete, whole.doubts, whole.void) == ("", True, True, (), ())
    assert "brownout map 'worker->broker/ZADD#1/before-cut'" in (folder / "summary.md").read_text()
    alone = brownout("merge", parts[0])
    assert (alone.returncode, "doubt: shards that are missing: 2\n" in alone.stdout) == (1, True)


@pytest.mark.parametrize(
    ("cell", "said"),
    [
        ("worker->broker/ZAD#1/before-cut", "no point is called 'worker->broker/ZAD#1'; did you mean 'worker->"),
        ("worker->broker/BRPOP#1/before-cut", "no cell is called 'worker->broker/BRPOP#1/before-cut'; did you mean"),
    ],
)  # fmt: skip
def test_a_cell_that_there_is_not_is_answered_with_what_there_is(brownout: Command, cell: str, said: str) -> None:
    found = brownout("map", cell)
    assert (found.returncode, found.stdout) == (64, "")
    assert said in found.stderr
    assert "Traceback" not in found.stderr


def test_an_application_of_ones_own(brownout: Command, folder: Path) -> None:
    (folder / "own.py").write_text(OWN)
    without = brownout("map", "--app", "own")
    assert without.returncode == 64
    assert "name a task of own, which has: own.add, own.broken" in without.stderr
    misspelt = brownout("map", "--app", "own:celery", "--task", "own.ad")
    assert misspelt.returncode == 2
    assert "no task of own:celery is called 'own.ad'; did you mean 'own.add'" in misspelt.stderr

    found = brownout("map", LOST, GOOD, "--app", "own", "--task", "own.add", "--args", "[1]", "--kwargs", '{"b": 2}')
    assert found.returncode == 1, found.stderr
    assert f"✗ {LOST}  invalid · lost ×1" in found.stdout
    assert f"✓ {GOOD}  valid · " in found.stdout
    again = f"""Again     brownout map '{LOST}' --app own --task own.add --args '[1]' --kwargs '{{"b": 2}}'"""
    assert again in found.stdout


def test_what_does_not_even_work_without_a_fault_has_no_map(brownout: Command, folder: Path) -> None:
    (folder / "own.py").write_text(OWN)
    found = brownout("map", LOST, "--app", "own", "--task", "own.broken")
    assert (found.returncode, found.stdout) == (2, "")
    last = found.stderr.splitlines()[-1]
    why = "call own.broken fails without a fault: RuntimeError: it never worked; --args, --kwargs and --env change what"
    assert last.startswith(f"brownout map: error: {why}")
    assert clean(folder)


def test_without_a_redis_one_line_says_what_to_install(brownout: Command) -> None:
    found = brownout("map", LOST, "--provider", "local", PATH="")
    assert (found.returncode, found.stdout) == (2, "")
    assert "neither redis-server nor valkey-server is on PATH" in found.stderr
    assert found.stderr.count("\n") == 1


@pytest.mark.parametrize("command", ["map", "pairs", "list points"])
def test_without_celery_one_line_says_what_to_type(brownout: Command, folder: Path, command: str) -> None:
    (folder / "without").mkdir()
    (folder / "without" / "celery.py").write_text("""raise ModuleNotFoundError("No module named 'celery'")""")
    found = brownout(*command.split(), PYTHONPATH=f"{ROOT}{os.pathsep}{folder / 'without'}")
    assert (found.returncode, found.stdout) == (2, "")
    *progress, last = found.stderr.splitlines()
    assert last.endswith(f"needs celery, which is not installed; type: {sys.executable} -m pip install celery")
    assert [line for line in progress if "trials at once" not in line] == []
    assert clean(folder)


@contextmanager
def running(folder: Path, environment: dict[str, str], *argv: str) -> Iterator[subprocess.Popen[str]]:
    """A map in a session of its own; at the end it is killed."""
    with (folder / "output").open("w") as out:
        popen = subprocess.Popen([sys.executable, "-c", LISTENING, *CLI, *argv], cwd=folder, env=environment, text=True,
                                 stdout=out, stderr=subprocess.STDOUT, start_new_session=True)  # fmt: skip
    try:
        yield popen
    finally:
        popen.kill()
        popen.wait()


def comes_to(folder: Path, popen: subprocess.Popen[str], trial: int) -> float:
    """Wait until so many trials have begun; answers how long (s) that took."""
    began = time.monotonic()
    place = f"tmp/brownout-map-*/{trial}" if trial else "tmp/brownout-map-*"
    eventually(
        lambda: popen.poll() is not None or any(folder.glob(place)),
        within=60, every=0.005, what=f"trial {trial} begins", evidence=(folder / "output").read_text,
    )  # fmt: skip
    assert popen.poll() is None, (folder / "output").read_text()
    return time.monotonic() - began


@pytest.mark.parametrize(
    ("trial", "number", "cells"),
    [(0, signal.SIGINT, 0), (1, signal.SIGTERM, 0), (TRIED, signal.SIGINT, 1)],
    ids=["start", "discovery", "trials"],
)
def test_control_c_ends_at_once_with_the_partial_map(
    folder: Path, environment: dict[str, str], trial: int, number: int, cells: int
) -> None:
    save = ["--save", "part.json"] if cells else []
    with running(folder, environment, "map", "--actions", "cut", "--jobs", str(JOBS), *save) as popen:
        start = comes_to(folder, popen, 0)
        if trial:
            comes_to(folder, popen, trial)
        os.kill(popen.pid, signal.SIGSTOP)  # to look for traces may take seconds, and the map must not end meanwhile
        before, began = traces(folder, besides=popen.pid), time.monotonic()
        os.killpg(popen.pid, number)
        os.kill(popen.pid, signal.SIGCONT)
        code = popen.wait(60)
        took = time.monotonic() - began
    said = (folder / "output").read_text()

    assert code == 128 + number, said
    assert f"interrupted: exit code {code}" in said
    assert traces(folder).processes == {}
    assert not before.listening & listening()
    assert list((folder / "tmp").glob("brownout*")) == []
    assert not (folder / "store" / "maps").exists(), "a part must not replace a whole map"
    if cells:
        kept = FaultMap.load(folder / "part.json")
        assert not kept.complete
        assert len(kept.cells) >= cells
    assert took < max(AT_ONCE, STARTS * start), said


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_pairs_end_at_once_with_what_there_is(folder: Path, environment: dict[str, str], number: int) -> None:
    with running(folder, environment, "pairs", "--actions", "cut", "--jobs", str(JOBS)) as popen:
        comes_to(folder, popen, 2)
        os.kill(popen.pid, signal.SIGSTOP)  # see above
        before = traces(folder, besides=popen.pid)
        os.killpg(popen.pid, number)
        os.kill(popen.pid, signal.SIGCONT)
        code = popen.wait(60)
    said = (folder / "output").read_text()
    assert code == 128 + number, said
    assert said.endswith(f"? interrupted: exit code {code}\n")
    assert traces(folder).processes == {}
    assert not before.listening & listening()
    assert list((folder / "tmp").glob("brownout*")) == []
    assert not (folder / "store").exists(), "a part must not replace a whole map"


def test_points_are_listed(brownout: Command) -> None:
    found = brownout("list", "points", "--config", "late")
    assert found.returncode == 0, found.stderr
    assert re.search(r"^worker->broker/ZADD#1 +ZADD unacked_index;HSET unacked$", found.stdout, re.MULTILINE)


def test_sigkill_leaves_nothing(folder: Path, environment: dict[str, str]) -> None:
    with running(folder, environment, "map", "--jobs", str(JOBS)) as popen:
        comes_to(folder, popen, 2)
        eventually(
            lambda: len(traces(folder, besides=popen.pid).processes) > 3, within=20, what="a trial has processes"
        )
        popen.kill()
        popen.wait()
    eventually(lambda: clean(folder), within=20, every=0.05, what="the reaper has done its work",
               evidence=lambda: str(traces(folder)))  # fmt: skip
