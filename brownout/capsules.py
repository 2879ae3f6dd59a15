"""Runs the trial of a capsule again: inside the test that ran the trial, or with the application that the capsule
names."""

from __future__ import annotations

import io
import json
import os
import shlex
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager, redirect_stdout
from dataclasses import dataclass, field, replace
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from types import FrameType
from typing import Any, Generic, TypeVar

import pytest

from brownout.explore.experiment import Experiment
from brownout.explore.trials import builtin_wire
from brownout.plan.codec import decode
from brownout.plan.plan import Plan
from brownout.plan.secrets import Lost, at, leaves, matches
from brownout.pytest_plugin import TAKER
from brownout.report.stored import TRACES
from brownout.run.capsule import Capsule, document
from brownout.run.setting import Setting
from brownout.run.store import Store, held, new_run
from brownout.subject.application import Application
from brownout.subject.processes.launchers import Launchers
from brownout.subject.servers import ladder

T = TypeVar("T")


class NotAlone(Exception):
    """The trial of a capsule cannot be run again, because its test or its application cannot be found."""


def within(capsule: Capsule, job: Callable[[Setting], T], secrets: Secrets | None = None) -> T:
    """Call `job` with the setting of the capsule's trial, and return the job's result. The setting's `plan` is the
    capsule's with the secrets that are not stored; without `secrets` they stay out, and the plan cannot run.

    A scenario's trial runs inside its test, with the test's fixtures, marks and services. Raises NotAlone, NoRedis, and
    the exceptions of `job` and of the handlers of SIGINT and SIGTERM. While `job` runs, the store does not delete the
    capsule (a stored trial).
    """
    with held(capsule.folder):
        if not capsule.application:
            return _within_test(capsule, job, secrets)
        whole = secrets.filled(capsule) if secrets else capsule
        return _within_application(whole, lambda setting: job(replace(setting, plan=whole.plan)))


@dataclass
class Secrets:
    """Where the values come from that a capsule does not store: `given`, by name; the plan that the capsule's test
    makes; the environment. `say` is told where each was found."""

    given: Mapping[str, str] = field(default_factory=dict)
    say: Callable[[str], object] = str

    def filled(self, capsule: Capsule, made: Plan | None = None) -> Capsule:
        """The capsule with its secrets. Raises NotAlone when one of them is not known."""
        found = {one.at: self._found(one, capsule, made) for one in capsule.lost}
        if missing := [one for one in capsule.lost if found[one.at] is None]:
            names = dict.fromkeys(one.name for one in missing)
            variables = ", ".join(dict.fromkeys(one.variable for one in missing))
            raise NotAlone(
                f"values that look like secrets are not stored, and the capsule lacks {', '.join(names)}; "
                f"type --secret with NAME=VALUE, or set in the environment: {variables}"
            )
        sources = {
            one.name: f"{one.name} {where}" for one in capsule.lost for _, where in [found[one.at] or (None, "")]
        }
        if sources:
            self.say(f"not stored, because they look like secrets: {', '.join(sources.values())}")
        return capsule.filled(lambda one: (found[one.at] or (None,))[0])

    def _found(self, one: Lost, capsule: Capsule, made: Plan | None) -> tuple[Any, str] | None:
        if one.name in self.given:
            return self.given[one.name], "as given"
        if made:
            whole = document(made, capsule.scenario, "")
            # A plan that was shrunk has fewer loads than the plan of the test: then the name decides.
            own = [at(whole, one.at), *(value for path, value in leaves(whole) if Lost(path, "").name == one.name)]
            if (value := next((value for value in own if matches(one, value)), None)) is not None:
                return value, "from the test"
        return (os.environ[one.variable], "from the environment") if one.variable in os.environ else None


# --- the trial of a fault map's cell


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
    """Return the capsule's application, and the folder in which its processes start: the experiment's root or the
    current folder."""
    named = capsule.application
    if not isinstance(named, str):
        return decode(Application, named), Path.cwd()
    module, _, attribute = named.partition(":")
    sys.path.insert(0, str(Path.cwd()))  # `celery -A` also looks for modules in the current folder first
    try:
        found = getattr(import_module(module), attribute)
    except Exception as error:  # importing a user's module may raise any exception
        raise NotAlone(f"the application {named} cannot be imported from {Path.cwd()}: {error}") from error
    if isinstance(found, Experiment):
        return found.application, found.root
    if not isinstance(found, Application):
        raise NotAlone(f"{named} must be a brownout.Application or an experiment, not {type(found).__name__}")
    return found, Path.cwd()


# --- the trial of a scenario


class _Taker(Generic[T]):
    """A pytest plugin. When the test would run its first trial, the plugin calls the function `job` instead. The
    fixture `lab` finds this plugin by the plugin's name."""

    def __init__(self, job: Callable[[Setting], T]) -> None:
        self.__name__ = TAKER
        self._job = job
        self.done: list[T] = []
        self.error: BaseException | None = None

    def take(self, setting: Setting) -> None:
        """Call `job` and skip the rest of the test; after a signal do not call `job`."""
        if self.error is None:
            try:
                self.done.append(self._job(setting))
                self.error = None  # a signal came while `job` ran, and `job` has handled the signal
            except BaseException as error:  # `_within_test` raises the error again after pytest has ended
                self.error = error
        pytest.skip("a capsule of this test was run")

    @pytest.hookimpl(optionalhook=True, tryfirst=True)
    def pytest_timeout_set_timer(self) -> bool:
        """Keep pytest-timeout from setting its timer: the test's time-out is meant for one trial, and `job` may run
        many trials."""
        return True

    @contextmanager
    def noting(self) -> Iterator[None]:
        """Within the block, store the exceptions that the handlers of SIGINT and SIGTERM raise.

        pytest catches these exceptions: KeyboardInterrupt ends pytest's run, any other exception fails the test.
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


def _within_test(capsule: Capsule, job: Callable[[Setting], T], secrets: Secrets | None) -> T:
    def whole(setting: Setting) -> T:
        plan = secrets.filled(capsule, setting.plan).plan if secrets else capsule.plan
        return job(replace(setting, plan=plan))

    path, inside, _ = capsule.scenario.partition("::")
    if not inside:
        raise NotAlone(f"the capsule of {capsule.scenario} names no test and no application to run it on")
    again = shlex.join(["pytest", capsule.scenario])
    above = (Path.cwd(), *Path.cwd().parents, *capsule.folder.parents)
    root = next((folder for folder in above if (folder / path).is_file()), None)
    if root is None:
        raise NotAlone(f"there is no {path} in {Path.cwd()} or above it, where the test {capsule.scenario} was")
    taker, told = _Taker(whole), io.StringIO()
    options = [f"--rootdir={root}", "--capture=no", "-q", "-rsfE", "-m", "", *_env_options(capsule)]
    # pytest warns that it cannot rewrite the asserts of modules that are already imported: ignore that. Without
    # lfplugin this run does not change which tests `--lf` counts as failed.
    options += ["-W", "ignore::pytest.PytestAssertRewriteWarning", "-p", "no:lfplugin"]
    options += ["-n0"] if find_spec("xdist") else []
    with redirect_stdout(told), taker.noting():
        pytest.main([str(root / capsule.scenario), *options], plugins=[taker])
    if taker.error:
        raise taker.error
    if not taker.done:
        said = [line for line in told.getvalue().splitlines() if line.strip()]
        why = next((line for line in said if line.startswith(("E ", "ERROR", "SKIPPED", "FAILED"))), "".join(said[-1:]))
        raise NotAlone(f"the test of the capsule ran no trial ({why.strip() or 'pytest said nothing'}); see {again}")
    return taker.done[0]


def _env(capsule: Capsule) -> dict[str, Any]:
    """Return the stored trial's versions and parts; an empty mapping when `env.json` cannot be read."""
    try:
        env: dict[str, Any] = json.loads((capsule.folder / "env.json").read_text())
    except (OSError, ValueError):
        return {}
    return env


def _env_options(capsule: Capsule) -> list[str]:
    """Return the pytest options of the stored trial: how network faults are carried out, which Python the application
    runs with, and how processes are started."""
    env = _env(capsule)
    wire = ["--chaos-wire=toxiproxy"] if env.get("wire") == "toxiproxy" else []
    python = [f"--chaos-python={env['interpreter']}"] if env.get("interpreter") else []
    return wire + python + (["--chaos-launch=cold"] if env.get("launch") == "cold" else [])
