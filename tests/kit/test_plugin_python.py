"""pytest's header names the Python of the application, and --chaos-python chooses it."""

import platform
import sys
from pathlib import Path

import pytest

from brownout.pytest_python import with_python
from brownout.subject.application import Application

pytest_plugins = ["pytester"]
#: A Python that is not the kit's own: the kit's environment was made from it.
OTHER = str(Path(sys.executable).resolve())
LINE = f"brownout: the application runs with python {platform.python_version()}* ({OTHER})"
CONFTEST = """
    import pytest
    from brownout import Application

    @pytest.fixture(scope="session")
    def application():
        return Application(celery="shop", python={python!r})
"""
TEST = """
    import pytest

    @pytest.mark.chaos
    def test_one(lab): ...
"""


def collected(pytester: pytest.Pytester, *words: str, python: str = "") -> pytest.RunResult:
    pytester.makeconftest(CONFTEST.format(python=python))
    pytester.makepyfile(TEST)
    return pytester.runpytest_subprocess("-p", "no:asyncio", "--collect-only", *words)


def test_the_python_of_the_fixture_is_named(pytester: pytest.Pytester) -> None:
    collected(pytester, python=OTHER).stdout.fnmatch_lines([LINE])


def test_the_python_of_the_option_is_named_instead(pytester: pytest.Pytester) -> None:
    said = collected(pytester, "--chaos-python", OTHER, python="/nowhere/python")
    said.stdout.fnmatch_lines([LINE])
    said.stdout.no_fnmatch_line("*nowhere*")


def test_the_python_of_the_projects_file_is_named(pytester: pytest.Pytester) -> None:
    pytester.path.joinpath("other").symlink_to(OTHER)
    pytester.path.joinpath("brownout.toml").write_text('[parts]\napp = "shop"\npython = "other"\n')
    collected(pytester).stdout.fnmatch_lines([LINE.replace(OTHER, str(pytester.path / "other"))])


def test_nothing_is_said_of_an_application_in_the_kits_own_environment(pytester: pytest.Pytester) -> None:
    said = collected(pytester)
    said.stdout.fnmatch_lines(["brownout: python *"])
    said.stdout.no_fnmatch_line("*the application runs with*")


def test_a_path_that_is_no_python_is_an_error_of_usage(pytester: pytest.Pytester) -> None:
    said = collected(pytester, "--chaos-python", "nowhere")
    assert said.ret == pytest.ExitCode.USAGE_ERROR
    said.stderr.fnmatch_lines(["ERROR: the application's Python: nowhere is no Python: *"])


def test_a_scenario_gets_the_python_of_the_option(pytestconfig: pytest.Config, monkeypatch: pytest.MonkeyPatch) -> None:
    application = Application(celery="shop", python="/of/the/fixture")
    monkeypatch.setattr(pytestconfig.option, "chaos_python", OTHER)
    assert with_python(pytestconfig, application).python == OTHER
    monkeypatch.setattr(pytestconfig.option, "chaos_python", None)
    assert with_python(pytestconfig, Application(celery="shop")).python == ""
