"""How many CPUs are left by affinity and by the quotas of control groups."""

import math
import os
import subprocess
import sys
from pathlib import Path

import pytest

from brownout.subject import cpus as module
from brownout.subject.cpus import cpus, limits, usable, usable_cpus


@pytest.mark.parametrize(
    ("quota", "worth"),
    [
        ("max 100000\n", math.inf),
        ("max", math.inf),
        ("150000 100000\n", 1.5),
        ("20000 10000", 2.0),
        ("50000", 0.5),
        ("-1 100000", math.inf),
        ("0 100000", math.inf),
        ("100000 0", math.inf),
        ("", math.inf),
        ("many few", math.inf),
    ],
)
def test_a_quota_is_worth_some_cpus(quota: str, worth: float) -> None:
    assert cpus(quota) == worth


@pytest.mark.parametrize(
    ("allowed", "quotas", "left"),
    [
        (8, [], 8),
        (8, ["max 100000"], 8),
        (8, ["150000 100000"], 2),
        (8, ["10000 100000"], 1),
        (8, ["210000 100000"], 3),
        (8, ["400000 100000", "max 100000", "300000 100000"], 3),
        (2, ["400000 100000"], 2),
        (0, [], 1),
    ],
)
def test_the_smallest_limit_counts_rounded_up(allowed: int, quotas: list[str], left: int) -> None:
    assert usable(allowed, quotas) == left


def write(root: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


V2 = {"cpu.max": "max 100000", "user/cpu.max": "300000 100000", "user/job/cpu.max": "max 100000"}
V1 = {"job/cpu.cfs_quota_us": "250000\n", "job/cpu.cfs_period_us": "100000\n", "cpu.cfs_quota_us": "-1\n",
      "cpu.cfs_period_us": "100000\n"}  # fmt: skip


@pytest.mark.parametrize(
    ("membership", "files", "quotas"),
    [
        ("0::/user/job\n", V2, ["max 100000", "300000 100000", "max 100000"]),
        ("0::/\n", V2, ["max 100000"]),
        ("0::/host/path/of/a/container\n", V2, ["max 100000"]),
        ("4:cpu,cpuacct:/job\n3:memory:/job\n", {f"cpu,cpuacct/{name}": text for name, text in V1.items()},
         ["250000 100000", "-1 100000"]),
        ("1:cpuacct,cpu:/job\n", {f"cpu/{name}": text for name, text in V1.items()},
         ["250000 100000", "-1 100000"]),
        ("1:cpu:/job:with:colons\n", {f"cpu/{name}": text for name, text in V1.items()}, ["-1 100000"]),
        ("1:cpu:/job\n0::/user\n", {**{f"cpu/{name}": text for name, text in V1.items()}, **V2},
         ["250000 100000", "-1 100000", "300000 100000", "max 100000"]),
        ("1:cpuset:/\n", V2, []),
        ("nonsense\n\n", {}, []),
        ("", V2, []),
    ],
    ids=["v2", "v2 in a namespace", "v2 with the host's path", "v1", "v1 under its short name", "v1 odd path",
         "hybrid", "no cpu controller", "nonsense", "no Linux"],
)  # fmt: skip
def test_the_groups_of_a_process_and_their_parents_have_quotas(
    tmp_path: Path, membership: str, files: dict[str, str], quotas: list[str]
) -> None:
    write(tmp_path, files)
    assert list(limits(membership, tmp_path)) == quotas


def test_the_quota_of_this_process_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, {"membership": "0::/user\n", "user/cpu.max": "50000 100000"})
    monkeypatch.setattr(module, "MEMBERSHIP", tmp_path / "membership")
    monkeypatch.setattr(module, "ROOT", tmp_path)
    assert usable_cpus() == 1
    monkeypatch.setattr(module, "MEMBERSHIP", tmp_path / "missing")
    assert usable_cpus() >= 1


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="this system has no CPU affinity")
def test_a_process_that_is_bound_to_one_cpu_has_one() -> None:
    code = (
        "import os; os.sched_setaffinity(0, list(os.sched_getaffinity(0))[:1])\n"
        "from pathlib import Path; from brownout.run.turns import Turns; from brownout.subject.load import load\n"
        "print(Turns(Path()).cores, load(0).cores)"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=Path.cwd())
    assert ran.stdout.split() == ["1", "1"], ran.stderr
