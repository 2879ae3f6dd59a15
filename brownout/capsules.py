"""Gives a capsule what its trial needs beside the plan: from the test that ran it, or from the application's name."""

from __future__ import annotations

import io
import json
import shlex
import sys
from collections.abc import Callable
from contextlib import closing, redirect_stdout
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Generic, TypeVar

import pytest

from brownout.explore.mission import Mission
from brownout.explore.trials import builtin_wire
from brownout.plan.codec import decode
from brownout.pytest_plugin import TAKER
from brownout.report.stored import TRACES
from brownout.run.capsule import Capsule
from brownout.run.setting import Setting
from brownout.run.store import Store, new_run
from brownout.subject import ladder
from brownout.subject.application import Application
from brownout.subject.launchers import Launchers

T = TypeVar("T")


class NotAlone(Exception):
    """The plan cannot be run outside of its test, or its application cannot be found; says why, and what to type."""


def within(capsule: Capsule, job: Callable[[Setting], T]) -> T:
    """Call `job` with what the capsule's trial runs in, and answer what it returns.

    A scenario's trial runs inside of its test, so that fixtures, marks and services are the test's own. Raises
    NotAlone, NoRedis, and what the job raises.
    """
    return _within_application(capsule, job) if capsule.application else _within_test(capsule, job)


# --- a trial of a map


def _within_application(capsule: Capsule, job: Callable[[Setting], T]) -> T:
    root = Path.cwd()
    application = _application(capsule)
    with closing(Launchers()) as launchers:
        setting = Setting(
            capsule.scenario,
            application,
            root,
            Store(TRACES, new_run()),
            ladder.choose("local"),
            builtin_wire,
            launchers.of(application, root, "auto"),
            application_name=capsule.application,
        )
        return job(setting)


def _application(capsule: Capsule) -> Application:
    named = capsule.application
    if not isinstance(named, str):
        return decode(Application, named)
    module, _, attribute = named.partition(":")
    sys.path.insert(0, str(Path.cwd()))  # as `celery -A` does
    try:
        found = getattr(import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise NotAlone(f"its application {named} cannot be imported from {Path.cwd()}: {error}") from error
    application = found.application if isinstance(found, Mission) else found
    if not isinstance(application, Application):
        raise NotAlone(f"{named} is no brownout.Application and no mission, but {type(found).__name__}")
    return application


# --- a scenario's trial


class _Taker(Generic[T]):
    """Does the job in the place of the test's first trial. The lab finds it among pytest's plugins, by its name."""

    def __init__(self, job: Callable[[Setting], T]) -> None:
        self.__name__ = TAKER
        self._job = job
        self.done: list[T] = []
        self.error: BaseException | None = None

    def take(self, setting: Setting) -> None:
        """Do the job, and end the test."""
        try:
            self.done.append(self._job(setting))
        except BaseException as error:  # raised again when pytest has ended the test
            self.error = error
        pytest.skip("a capsule of this test was run")


def _within_test(capsule: Capsule, job: Callable[[Setting], T]) -> T:
    path, inside, _ = capsule.scenario.partition("::")
    if not inside:
        raise NotAlone(f"the capsule of {capsule.scenario} names no test and no application to run it on")
    again = shlex.join(["pytest", capsule.scenario])
    above = (Path.cwd(), *Path.cwd().parents, *capsule.folder.parents)
    root = next((folder for folder in above if (folder / path).is_file()), None)
    if root is None:
        raise NotAlone(f"there is no {path} in {Path.cwd()} or above it, where the test {capsule.scenario} was")
    taker, told = _Taker(job), io.StringIO()
    options = [f"--rootdir={root}", "--capture=no", "-q", "-rsfE", "-m", "", *_env_options(capsule)]
    # What this command has imported cannot be rewritten, and the failed tests that --lf knows stay known.
    options += ["-W", "ignore::pytest.PytestAssertRewriteWarning", "-p", "no:lfplugin"]
    options += ["-n0"] if find_spec("xdist") else []
    with redirect_stdout(told):
        pytest.main([str(root / capsule.scenario), *options], plugins=[taker])
    if taker.error:
        raise taker.error
    if not taker.done:
        said = [line for line in told.getvalue().splitlines() if line.strip()]
        why = next((line for line in said if line.startswith(("E ", "ERROR", "SKIPPED", "FAILED"))), "".join(said[-1:]))
        raise NotAlone(f"its test ran no trial ({why.strip() or 'pytest said nothing'}); see {again}")
    return taker.done[0]


def _env_options(capsule: Capsule) -> list[str]:
    """Options that the stored trial had and that its test does not say."""
    try:
        env = json.loads((capsule.folder / "env.json").read_text())
    except (OSError, ValueError):
        return []
    wire = ["--chaos-wire=toxiproxy"] if env.get("wire") == "toxiproxy" else []
    return wire + (["--chaos-launch=cold"] if env.get("launch") == "cold" else [])
