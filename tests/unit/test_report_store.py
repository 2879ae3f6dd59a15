"""The store keeps the last runs, and never takes from one that goes on."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from brownout.run import store
from brownout.run.store import Store, folder_of

PLACE = """
import sys
from pathlib import Path
from brownout.run.store import Store
for each in sys.argv[3:]:
    print(Store(Path(sys.argv[1]), sys.argv[2], 99).place(each), flush=True)
"""


def old_run(root: Path, n: int, *scenarios: str) -> list[Path]:
    """A run that another process made, and that is over."""
    run = f"20200101T0000{n:02d}000000-abcdef"
    done = subprocess.run(
        [sys.executable, "-c", PLACE, str(root), run, *scenarios], check=True, capture_output=True, text=True
    )
    return [Path(line) for line in done.stdout.split()]


def test_a_trial_has_its_place(tmp_path: Path) -> None:
    own = Store(tmp_path, store.new_run()).place("tests/test_a.py::test_a[x y]")

    assert own.parent == tmp_path / "tests-test_a.py-test_a-x-y"
    assert (own / "log").is_dir()
    assert (own.parent / "latest").resolve() == own
    assert (tmp_path / ".gitignore").read_text() == "*\n"


def test_latest_leads_to_the_newest(tmp_path: Path) -> None:
    own = Store(tmp_path, store.new_run())
    first, second = own.place("a"), own.place("a")

    assert first != second
    assert (tmp_path / "a" / "latest").resolve() == second


def test_runs_are_counted_and_not_trials(tmp_path: Path) -> None:
    oldest, middle, newest = (old_run(tmp_path, n, "a", "a", f"b{n}") for n in range(3))
    own = Store(tmp_path, store.new_run(), keep=3)
    mine = [own.place("a") for _ in range(5)]

    assert not any(each.exists() for each in oldest)
    assert not (tmp_path / "b0").exists()
    assert all(each.exists() for each in (*middle, *newest, *mine))


def test_a_run_that_goes_on_is_never_pruned(tmp_path: Path) -> None:
    waiting = [sys.executable, "-c", f"{PLACE}input()", str(tmp_path), "20190101T000000000000-aaaaaa", "a"]
    with subprocess.Popen(waiting, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout
        theirs = Path(other.stdout.readline().strip())
        over = old_run(tmp_path, 1, "a")
        Store(tmp_path, store.new_run(), keep=1).place("a")
        assert theirs.exists()
        assert not over[0].exists()
        other.communicate("\n")
    store.prune(tmp_path, 1)
    assert not theirs.exists()


@pytest.mark.parametrize("inside", ["", "shrunk"])
def test_a_trial_that_is_replayed_is_not_pruned(tmp_path: Path, inside: str) -> None:
    """Neither is the capsule that was shrunk, in the folder of that trial."""
    (first,), (second,) = old_run(tmp_path, 1, "a"), old_run(tmp_path, 2, "a")
    with store.held(first / inside):
        Store(tmp_path, store.new_run(), keep=1).place("a")
        assert first.exists()
        assert not second.exists(), "the run of another trial is pruned"
    store.prune(tmp_path, 1)
    assert not first.exists()


def test_only_what_a_run_has_listed_is_removed(tmp_path: Path) -> None:
    root = tmp_path / "store"
    (tmp_path / "precious").mkdir()
    (mine,) = old_run(root, 1, "a")
    (root / "a" / "notes").mkdir()
    lines = ["../precious", "a/notes", "a/..", "/", "", str(tmp_path / "precious")]
    with next((root / ".runs").iterdir()).open("a") as list_:
        list_.write("\n".join(lines) + "\n")
    Store(root, store.new_run(), keep=1).place("b")

    assert (tmp_path / "precious").exists()
    assert (root / "a" / "notes").exists()
    assert not mine.exists()
    assert not (root / "a" / "latest").is_symlink(), "it leads nowhere"


def test_trials_without_a_result_are_partial(tmp_path: Path) -> None:
    own = Store(tmp_path, store.new_run())
    assert own.partial() == []
    whole, half = own.place("a"), own.place("b")
    (whole / "results.json").write_text("{}")

    assert own.partial() == [half]
    assert Store(tmp_path, store.new_run()).partial() == [], "of this run alone"


def test_names_are_safe_and_distinct() -> None:
    assert folder_of("::") == "trial"
    assert folder_of("../../etc/passwd") == "etc-passwd"
    long = [folder_of(f"test_{'x' * 200}[{n}]") for n in range(2)]
    assert len(set(long)) == 2
    assert max(map(len, long)) <= store.LONGEST


def test_the_environment_is_versions_and_no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_SECRET", "hunter2")
    found = store.environment(redis="local 7.0.15")

    assert {"python", "system", "celery", "kombu"} <= found.keys()
    assert not set(os.environ.values()) & {"hunter2"} & set(found.values())
    assert "hunter2" not in json.dumps(found)
