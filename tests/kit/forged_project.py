"""Runs of pytest on a project of its own whose trials are forged."""

import os
import pty

import pytest

from tests.kit.small_project import ROOT, write

QUIET = ("-p", "no:asyncio", "-p", "no:schemathesis", "-p", "no:cacheprovider")
BENCH = """
@pytest.fixture
def bench(lab):
    lab.load(submit("small.work", every="50ms", count=5))
    lab.promise(at_least_once())
    return lab
"""


def forge(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, scenarios: str) -> pytest.Pytester:
    """Write the project, and forget what the environment says about colours and about GitHub."""
    for name in ("GITHUB_STEP_SUMMARY", "GITHUB_ACTIONS", "GITHUB_WORKSPACE", "NO_COLOR", "FORCE_COLOR", "PY_COLORS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    write(pytester.path, BENCH + scenarios, forged=True)
    return pytester


def run(project: pytest.Pytester, *arguments: str) -> pytest.RunResult:
    """In this process, which is an order faster."""
    return project.runpytest_inprocess(*QUIET, *arguments)


def run_apart(project: pytest.Pytester, *arguments: str) -> pytest.RunResult:
    """In a process of its own."""
    return project.runpytest_subprocess(*QUIET, *arguments)


def on_terminal(project: pytest.Pytester, *arguments: str) -> str:
    """What pytest writes to a terminal."""
    ours, theirs = pty.openpty()
    command = [*project._getpytestargs(), *QUIET, *arguments]
    popen = project.popen(command, stdout=theirs, stderr=theirs, stdin=theirs, close_fds=True)
    os.close(theirs)
    shown = b""
    try:
        while block := os.read(ours, 65_536):
            shown += block
    except OSError:
        pass  # the other end is closed: Linux's way to say so
    finally:
        popen.wait()
        os.close(ours)
    return shown.decode()
