"""`--chaos-shard`: every test is in exactly one shard, with -k, -m and xdist as well. Trials are forged."""

import re

import pytest

from tests.kit.forged_project import QUIET, forge

pytest_plugins = ["pytester"]

SCENARIOS = """
@pytest.mark.outcome("valid")
@pytest.mark.parametrize("n", range(5))
def test_many(bench, n):
    bench.run().must_hold()

@pytest.mark.outcome("valid")
@pytest.mark.alone
@pytest.mark.chaos
def test_alone(bench):
    bench.run().must_hold()

@pytest.mark.outcome("invalid")
@pytest.mark.chaos
def test_bad(bench):
    bench.run().must_hold()

@pytest.mark.chaos
def test_plain():
    pass
"""
ALL = sorted([*(f"test_many[{n}]" for n in range(5)), "test_alone", "test_bad", "test_plain"])


@pytest.fixture
def project(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    return forge(pytester, monkeypatch, SCENARIOS)


def ran(project: pytest.Pytester, *arguments: str) -> list[str]:
    """The tests that ran, in their order."""
    result = project.runpytest_inprocess(*QUIET, "-v", *arguments)
    return re.findall(r"::(\S+) (?:PASSED|FAILED)", result.stdout.str())


@pytest.mark.parametrize("of", [1, 3])
def test_every_test_is_in_exactly_one_shard(project: pytest.Pytester, of: int) -> None:
    shards = [ran(project, f"--chaos-shard={n}/{of}") for n in range(1, of + 1)]
    assert sorted(name for shard in shards for name in shard) == ALL
    sizes = [len(shard) for shard in shards]
    assert max(sizes) - min(sizes) <= 1
    assert all("test_alone" not in shard[:-1] for shard in shards), "what runs alone comes last"


def test_k_and_m_choose_before_the_tests_are_divided(project: pytest.Pytester) -> None:
    for chosen, names in ((["-k", "many"], ALL[2:7]), (["-m", "chaos"], [ALL[0], ALL[1], ALL[7]])):
        shards = [ran(project, *chosen, f"--chaos-shard={n}/2") for n in (1, 2)]
        assert sorted(name for shard in shards for name in shard) == names
        assert abs(len(shards[0]) - len(shards[1])) <= 1


def test_lf_goes_without_a_shard(project: pytest.Pytester) -> None:
    """pytest collects only what failed here before, so nobody could tell the shard of a test."""
    result = project.runpytest_inprocess("-p", "no:asyncio", "--lf", "--chaos-shard=1/2")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*--lf runs what failed on this machine: leave the shard out*"])


def test_xdist_divides_alike_and_the_deselected_are_counted(project: pytest.Pytester) -> None:
    here = [ran(project, f"--chaos-shard={n}/3") for n in (1, 2, 3)]
    for n, names in enumerate(here, 1):
        result = project.runpytest_inprocess(*QUIET, "-n", "2", "-v", f"--chaos-shard={n}/3")
        told = re.findall(r"(?:PASSED|FAILED) \S+::(\S+)", result.stdout.str())
        assert {*told} == {*names}, "a failed one is told twice, also in the short summary"
    result = project.runpytest_inprocess(*QUIET, "--chaos-shard=1/4")
    result.stdout.fnmatch_lines(["collected 8 items / 6 deselected / 2 selected"])


def test_the_option_stands_in_the_configuration_file_as_well(project: pytest.Pytester) -> None:
    project.makeini("[pytest]\nchaos_shard = 1/2\n")
    assert ran(project) == ran(project, "--chaos-shard=1/2")
    assert len(ran(project)) == 4
