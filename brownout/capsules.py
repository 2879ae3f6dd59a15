"""Gives a capsule what its trial needs beside the plan: from the test that ran it, or from the application's name."""

from __future__ import annotations

import io
import json
import shlex
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager, redirect_stdout
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from types import FrameType
from typing import Any, Generic, TypeVar

import pytest

from brownout.explore.experiment import Experiment
from brownout.explore.trials import builtin_wire
from brownout.plan.codec import decode
from brownout.pytest_plugin import TAKER
from brownout.report.stored import TRACES
from brownout.run.capsule import Capsule
from brownout.run.setting import Setting
from brownout.run.store import Store, held, new_run
from brownout.subject.application import Application
from brownout.subject.processes.launchers import Launchers
from brownout.subject.servers import ladder

T = TypeVar("T")


class NotAlone(Exception):
    """The plan cannot be run outside of its test, or its application cannot be found; says why, and what to type."""


def within(capsule: Capsule, job: Callable[[Setting], T]) -> T:
    """Call `job` with what the capsule's trial runs in, and answer what it returns.

    A scenario's trial runs inside of its test, so that fixtures, marks and services are the test's own. Raises
    NotAlone, NoRedis, what the job raises, and what the handlers of SIGINT and SIGTERM raise. The store keeps the
    capsule meanwhile.
    """
    with held(capsule.folder):
        return _within_application(capsule, job) if capsule.application else _within_test(capsule, job)


# --- a trial of a map


def _within_application(capsule: Capsule, job: Callable[[Setting], T]) -> T:
    application, root = _application(capsule)
    with closing(Launchers()) as launchers:
        setting = Setting(
            capsule.scenario,
            application,
            root,
            Store(TRACES, new_run()),
            ladder.choose("local"),
            builtin_wire,
            launchers.of(application, root, "cold" if _env(capsule).get("launch") == "cold" else "auto"),
            application_name=capsule.application,
        )
        return job(setting)


def _application(capsule: Capsule) -> tuple[Application, Path]:
    """The application, and the folder that its processes start in: the experiment's own, or the current one."""
    named = capsule.application
    if not isinstance(named, str):
        return decode(Application, named), Path.cwd()
    module, _, attribute = named.partition(":")
    sys.path.insert(0, str(Path.cwd()))  # as `celery -A` does
    try:
        found = getattr(import_module(module), attribute)
    except Exception as error:  # whatever the module does
        raise NotAlone(f"its application {named} cannot be imported from {Path.cwd()}: {error}") from error
    if isinstance(found, Experiment):
        return found.application, found.root
    if not isinstance(found, Application):
        raise NotAlone(f"{named} is no brownout.Application and no experiment, but {type(found).__name__}")
    return found, Path.cwd()


# --- a scenario's trial


class _Taker(Generic[T]):
    """Does the job in the place of the test's first trial. The lab finds it among pytest's plugins, by its name."""

    def __init__(self, job: Callable[[Setting], T]) -> None:
        self.__name__ = TAKER
        self._job = job
        self.done: list[T] = []
        self.error: BaseException | None = None

    def take(self, setting: Setting) -> None:
        """Do the job, unless a signal came before it, and end the test."""
        if self.error is None:
            try:
                self.done.append(self._job(setting))
                self.error = None  # the job has handled a signal that came while it ran
            except BaseException as error:  # raised again when pytest has ended the test
                self.error = error
        pytest.skip("a capsule of this test was run")

    @pytest.hookimpl(optionalhook=True, tryfirst=True)
    def pytest_timeout_set_timer(self) -> bool:
        """Let pytest-timeout set no timer: its limit is for one trial, and its thread ends pytest with code 1."""
        return True

    @contextmanager
    def noting(self) -> Iterator[None]:
        """Within the block, keep what the handlers of SIGINT and SIGTERM raise.

        pytest takes KeyboardInterrupt for the end of its run, and any other exception for a failure of the test.
        """
        with ExitStack() as restored:
            for number in (signal.SIGINT, signal.SIGTERM):
                handler = signal.getsignal(number)
                if callable(handler) and threading.current_thread() is threading.main_thread():
                    signal.signal(number, self._noting(handler))
                    restored.callback(signal.signal, number, handler)
            yield

    def _noting(self, handler: Callable[[int, FrameType | None], Any]) -> Callable[[int, FrameType | None], None]:
        def note(number: int, frame: FrameType | None) -> None:
            try:
                handler(number, frame)
            except BaseException as error:
                self.error = error
                raise

        return note


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
    with redirect_stdout(told), taker.noting():
        pytest.main([str(root / capsule.scenario), *options], plugins=[taker])
    if taker.error:
        raise taker.error
    if not taker.done:
        said = [line for line in told.getvalue().splitlines() if line.strip()]
        why = next((line for line in said if line.startswith(("E ", "ERROR", "SKIPPED", "FAILED"))), "".join(said[-1:]))
        raise NotAlone(f"its test ran no trial ({why.strip() or 'pytest said nothing'}); see {again}")
    return taker.done[0]


def _env(capsule: Capsule) -> dict[str, Any]:
    """The stored trial's versions and parts; empty when they are not known."""
    try:
        env: dict[str, Any] = json.loads((capsule.folder / "env.json").read_text())
    except (OSError, ValueError):
        return {}
    return env


def _env_options(capsule: Capsule) -> list[str]:
    """Options that the stored trial had and that its test does not say."""
    env = _env(capsule)
    wire = ["--chaos-wire=toxiproxy"] if env.get("wire") == "toxiproxy" else []
    return wire + (["--chaos-launch=cold"] if env.get("launch") == "cold" else [])
