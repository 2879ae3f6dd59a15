"""`brownout replay` and `brownout shrink` on real processes: a scenario that fails, and a cell of the stock map."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from brownout.run.capsule import Capsule
from tests.kit.killable import LISTENING
from tests.kit.leftovers import MARK, traces
from tests.kit.small_project import ROOT, write

LOST = "worker->broker/ZADD#1/before-cut"
#: With an early acknowledgement a pool process that is killed takes its task along. The slow link does no harm.
SCENARIO = """
@pytest.mark.chaos
def test_lost(lab):
    lab.topology(servers=0)
    lab.load(submit("small.work", lasting=0.3, every="300ms", count=4))
    lab.inject(latency("2ms"), on="client->broker", when=event("ok", "client"))
    lab.inject(kill_child(), on="worker-1", when=started(nth=2, delay="150ms"))
    lab.promise(at_least_once(or_failure=False))
    lab.run().must_hold()
"""
Command = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Command:
    """Runs `python -m` with these words in the project's folder, and looks that nothing is left."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv(MARK, str(tmp_path))
    monkeypatch.delenv("PYTEST_CURRENT_TEST", raising=False)

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        argv = [sys.executable, "-m", *words]
        done = subprocess.run(argv, cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False)
        assert not traces(tmp_path).processes
        return done

    return run


def test_a_scenario_that_fails_is_replayed_and_shrunk_until_it_is_mended(tmp_path: Path, command: Command) -> None:
    write(tmp_path, SCENARIO)
    mended = (tmp_path / "small.py").read_text()
    (tmp_path / "small.py").write_text(mended.replace("task_acks_late=True", "task_acks_late=False"))
    (tmp_path / "pytest.ini").write_text("[pytest]\nfilterwarnings = error\naddopts = -p no:asyncio -m 'not chaos'\n")
    first = command("pytest", "-q", "-m", "chaos")
    assert "1 failed" in first.stdout, first.stdout + first.stderr
    place = "store/test_small.py-test_lost/latest"
    stored = (tmp_path / place).resolve()

    again = command("brownout.cli", "replay", place)
    assert again.returncode == 1, again.stdout + again.stderr
    assert again.stdout.startswith("reproduced: lost under at_least_once("), again.stdout
    assert "differs" not in again.stdout
    assert (tmp_path / place).resolve() != stored, "the new traces lie beside the stored ones"

    small = command("brownout.cli", "shrink", str(stored), "--confirm", "1/1")
    assert small.returncode == 0, small.stdout + small.stderr
    assert re.search(r"keeps it  1 of 2 faults: kill_child\([^)]*\) on worker-1", small.stderr), small.stderr
    assert small.stdout.count("lab.inject") == 1
    assert "on='worker-1'" in small.stdout

    # The printed test is a scenario like any other: it fails as the stored one did.
    (tmp_path / "test_printed.py").write_text(small.stdout)
    printed = command("pytest", "-q", "-m", "chaos", "test_printed.py")
    assert "lost ×" in printed.stdout, printed.stdout + printed.stderr

    (tmp_path / "small.py").write_text(mended)
    fixed = command("brownout.cli", "replay", str(stored / "shrunk"), "--tries", "1")
    assert (fixed.returncode, fixed.stdout[:6]) == (0, "fixed:"), fixed.stdout + fixed.stderr
    assert "worker.celery.task_acks_late: false in the stored trial, true now" in fixed.stdout

    write(tmp_path, SCENARIO.replace("@pytest.mark.chaos", "@pytest.mark.skip(reason='not today')"))
    skipped = command("brownout.cli", "replay", str(stored))
    assert skipped.returncode == 2, skipped.stdout + skipped.stderr
    assert "ran no trial" in skipped.stdout
    assert "not today" in skipped.stdout
    assert "pytest test_small.py::test_lost" in skipped.stdout


def test_a_bad_cell_of_the_stock_map_is_replayed(tmp_path: Path, command: Command) -> None:
    first = command("brownout.cli", "map", LOST)
    assert first.returncode == 1, first.stderr
    (place,) = re.findall(r"brownout replay (\S+)", first.stderr)
    again = command("brownout.cli", "replay", place)
    assert again.returncode == 1, again.stdout + again.stderr
    assert again.stdout.startswith("reproduced: lost under took_effect_once(proof='effect'): "), again.stdout
    assert "differs" not in again.stdout

    assert command("brownout.cli", "pin", place, "--save", "test_pinned.py").returncode == 0
    red = command("pytest", "-q", "-p", "no:asyncio", "test_pinned.py")
    assert (red.returncode, "1 failed" in red.stdout) == (1, True), red.stdout + red.stderr
    assert f"✗ {LOST}  invalid · lost ×1" in red.stdout


def failed(tmp_path: Path, command: Command) -> tuple[Path, str]:
    """Let the scenario fail; answers its capsule, and the module of the application as it is mended."""
    write(tmp_path, SCENARIO)
    mended = (tmp_path / "small.py").read_text()
    (tmp_path / "small.py").write_text(mended.replace("task_acks_late=True", "task_acks_late=False"))
    (tmp_path / "pytest.ini").write_text("[pytest]\nfilterwarnings = error\naddopts = -p no:asyncio\n")
    first = command("pytest", "-q")
    assert "1 failed" in first.stdout, first.stdout + first.stderr
    return (tmp_path / "store/test_small.py-test_lost/latest").resolve(), mended


def test_a_pinned_failure_is_red_until_its_cause_is_mended(tmp_path: Path, command: Command) -> None:
    capsule, mended = failed(tmp_path, command)
    pinned = command("brownout.cli", "pin", str(capsule), "--save", "test_pinned.py")
    assert (pinned.returncode, pinned.stdout) == (0, ""), pinned.stdout + pinned.stderr
    assert "stored in test_pinned.py: pytest test_pinned.py\n" in pinned.stderr
    text = (tmp_path / "test_pinned.py").read_text()
    assert "def test_pinned_lost(lab: Lab) -> None:" in text
    assert len(text.partition("@pytest.mark.chaos\n")[2].splitlines()) <= 10

    red = command("pytest", "-q", "test_pinned.py")
    assert (red.returncode, "lost ×" in red.stdout) == (1, True), red.stdout + red.stderr
    (tmp_path / "small.py").write_text(mended)
    green = command("pytest", "-q", "test_pinned.py")
    assert (green.returncode, "1 passed" in green.stdout) == (0, True), green.stdout + green.stderr


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_prints_and_keeps_the_smallest_so_far(
    tmp_path: Path, command: Command, number: int, code: int
) -> None:
    capsule, _ = failed(tmp_path, command)
    words = ["brownout.cli", "shrink", str(capsule), "--confirm", "1/1"]
    popen = subprocess.Popen(
        [sys.executable, "-c", LISTENING, sys.executable, "-m", *words],
        cwd=tmp_path, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True,
    )  # fmt: skip
    assert popen.stderr
    told = []
    with popen:
        for line in popen.stderr:
            told.append(line)
            if line.startswith("keeps it  1 of 2 faults: kill_child"):
                os.killpg(popen.pid, number)
                break
        out, err = popen.communicate(timeout=100)
    assert popen.returncode == code, "".join(told) + err
    assert "stopped; the smallest plan so far follows\n" in err
    assert out.count("lab.inject") == 1
    assert (capsule / "shrunk" / "test_shrunk.py").read_text() == out
    assert len(Capsule.load(capsule / "shrunk").plan.injections) == 1
    assert not (capsule / "tries").exists()
    assert not traces(tmp_path).processes
