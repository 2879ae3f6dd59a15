"""Whole runs of pytest on a small project of somebody else, with its real worker and a real Redis."""

import json
import os
import signal
import xml.etree.ElementTree as ET
from importlib.util import find_spec
from pathlib import Path

import pytest

from brownout.subject.waiting import eventually
from tests.kit.killable import pytest_run
from tests.kit.leftovers import strays, traces

SCENARIOS = """
@pytest.fixture
def bench(lab):
    lab.topology(servers=0)
    lab.workers(1, pool="solo")
    lab.promise(at_least_once(), drained())
    return lab


def test_good(bench):
    bench.load(submit("small.work", every="50ms", count=3))
    bench.run().must_hold()


def test_hole(bench):
    bench.load(submit("small.work", lasting=0.3, every="50ms", count=1))
    bench.inject(kill(), on="worker-1", when=started())
    bench.drain("1s")
    bench.run().must_hold()


def test_misspelt(bench):
    bench.load(submit("small.wrok", every="50ms", count=3))
    bench.run().must_hold()


def test_misspelt_route(lab):
    lab.load(post("/slwo", every="50ms", count=3))
    lab.run().must_hold()
"""

PREFORK = """
def test_prefork(lab):
    lab.topology(servers=0)
    lab.load(submit("small.work", lasting=0.2, every="50ms", count=2))
    lab.inject(kill(), on="worker-1", when=started())
    lab.promise(at_most_once())
    lab.drain("1s")
    assert lab.run().result.history.kind("exit")
"""

NO_LIBRARY = """
def test_no_library(lab):
    lab.topology(servers=0)
    lab.workers(1, pool="gevent")
    lab.load(submit("small.work", every="50ms", count=1))
    lab.promise(at_least_once())
    lab.run().must_hold()
"""


@pytest.mark.parametrize("how", [(), ("-n", "2")], ids=["alone", "xdist"])
def test_a_run_from_its_header_to_its_store(tmp_path: Path, how: tuple[str, ...]) -> None:
    with pytest_run(tmp_path / "project", "--junitxml=junit.xml", *how, scenarios=SCENARIOS) as run:
        code = run.popen.wait(90)
        said = run.output

    assert code == pytest.ExitCode.TESTS_FAILED, said
    assert "3 failed, 1 passed" in said
    assert "no task is called 'small.wrok'; did you mean 'small.work'?" in said
    assert "no route is called '/slwo'; did you mean '/slow'?" in said
    assert "✗ test_hole  invalid · undrained ×1" in said
    assert "1 in unacked after kill() on worker-1" in said
    assert "chaos: 2 trials, 1 invalid, 0 unknown" in said
    cases = {case.get("name"): case for case in ET.parse(run.folder / "junit.xml").getroot().iter("testcase")}
    facts = {element.get("name"): element.get("value") for element in cases["test_hole"].iter("property")}
    assert facts["faults_fired"] == "kill() on worker-1"
    place = run.folder / str(facts["store"])
    assert {"plan.json", "env.json", "results.json", "history.ndjson", "log"} <= {path.name for path in place.iterdir()}
    assert json.loads((place / "plan.json").read_text())["seed"] == int(str(facts["seed"]))
    assert str(tmp_path) not in (place / "env.json").read_text(), "an environment variable's value"
    assert "started" in (place / "history.ndjson").read_text()
    assert (place / "log" / "worker-1.log").stat().st_size
    assert traces(run.folder).processes == {}


def test_a_worker_that_is_killed_leaves_nothing_in_the_temporary_folder(tmp_path: Path) -> None:
    """Each prefork worker makes a `pymp-*` in it, and one that is killed cannot remove it."""
    with pytest_run(tmp_path / "project", scenarios=PREFORK) as run:
        code = run.popen.wait(90)
    assert code == pytest.ExitCode.OK, run.output
    assert strays(run.folder / "tmp") == []


@pytest.mark.skipif(find_spec("gevent") is not None, reason="gevent is there")
def test_a_missing_pool_library_is_one_line_and_soon(tmp_path: Path) -> None:
    with pytest_run(tmp_path / "project", scenarios=NO_LIBRARY) as run:
        code = run.popen.wait(90)
    assert code == pytest.ExitCode.TESTS_FAILED, run.output
    why = "worker-1 ended with exit code 1 before it was ready: ModuleNotFoundError: No module named 'gevent'"
    assert f"\n{why}\nseed " in run.output
    assert "Traceback" not in run.output
    (log,) = run.folder.glob("store/test*/2*/log/worker-1.log")
    assert log.read_text().count("ModuleNotFoundError") == 2, "it was started once more, and not again"


def test_two_runs_at_once_keep_out_of_each_others_way(tmp_path: Path) -> None:
    store = f"--chaos-store={tmp_path / 'store'}"
    more = ("-k", "test_good", store, "--chaos-keep=1")
    with pytest_run(tmp_path / "one", *more, scenarios=SCENARIOS) as one:
        with pytest_run(tmp_path / "two", *more, scenarios=SCENARIOS) as two:
            codes = [each.popen.wait(90) for each in (one, two)]
        assert codes == [0, 0], one.output + two.output
    assert len(list((tmp_path / "store").glob("test*/2*/results.json"))) == 2


def test_control_c_ends_xdists_workers_too(tmp_path: Path) -> None:
    with pytest_run(tmp_path / "project", "-n", "2", "-k", "drain or heal") as run:

        def both_run() -> bool:
            assert run.popen.poll() is None, run.output
            return len({event.source for event in run.events() if event.kind == "phase"} and
                       [event for event in run.events() if event.data.get("name") == "load"]) == 2  # fmt: skip

        eventually(both_run, within=90, every=0.05, what="two trials run", evidence=lambda: run.output)
        os.killpg(run.popen.pid, signal.SIGINT)
        assert run.popen.wait(60) == pytest.ExitCode.INTERRUPTED, run.output
        eventually(lambda: not traces(run.folder).processes, within=30, what="nothing is left")
        assert run.output.count("without a verdict; its history and logs are in store/test_small.py-test_") == 2
