"""The pytest plugin of brownout. pytest imports it at every start, so the plugin imports only pytest until a test uses
it."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Generator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import pytest

from brownout.pytest_options import LAUNCHES, OPTIONS, PROVIDERS, RUN, WIRES, chosen, number, provider, pytest_addoption
from brownout.pytest_options import seed as seed_of
from brownout.pytest_options import shard as shard_of
from brownout.pytest_redis import RUNGS, SERVERS, own_redis, redis_server, rung_of

if TYPE_CHECKING:
    from brownout.lab import Lab
    from brownout.report.maps.row import Row
    from brownout.run.result import Result
    from brownout.run.setting import MakeWire
    from brownout.run.store import Store
    from brownout.subject.application import Application
    from brownout.subject.processes.launcher import Launcher
    from brownout.subject.processes.launchers import Launch, Launchers
    from brownout.wire.interface import AnyWire
    from brownout.wire.tcp.wire import OnEvent

__all__ = ["own_redis", "pytest_addoption", "redis_server"]  # pytest finds these names in this module

VERSIONS = ("celery", "kombu", "redis", "fastapi", "uvicorn", "uvloop")
# a test that uses one of these fixtures or marks uses brownout
FIXTURES = frozenset({"lab", "redis_server", "own_redis"})
TAKER = "brownout-capsule"  # the name of the plugin that runs a capsule instead of a test's first trial
_headed: pytest.StashKey[bool] = pytest.StashKey()
_store: pytest.StashKey[Store] = pytest.StashKey()
_lab: pytest.StashKey[Lab] = pytest.StashKey()
_rows: pytest.StashKey[list[Row]] = pytest.StashKey()
_launchers: pytest.StashKey[Launchers] = pytest.StashKey()


def pytest_configure(config: pytest.Config) -> None:
    """Register the markers. Report wrong options and missing requirements (BROWNOUT_REQUIRE) before a test is skipped
    because of them."""
    config.addinivalue_line(
        "markers", "chaos: breaks parts of a real system on purpose; takes a local Redis before one in a container"
    )
    config.addinivalue_line(
        "markers", "wire(kind): the wire of this scenario, builtin or toxiproxy, whatever the option"
    )
    config.addinivalue_line(
        "markers", "launch(kind): how the processes of this scenario are started, cold or forked, whatever the option"
    )
    config.addinivalue_line("markers", "alone: measures short times; its trials run alone, and after the other tests")
    config.stash[SERVERS], config.stash[RUNGS], config.stash[_headed] = {}, {}, False
    from brownout.report.collector import Collector
    from brownout.run.store import Store, new_run

    place = config.rootpath / chosen(config, "chaos_store")
    worker = getattr(config, "workerinput", None)
    run = worker[RUN] if worker else new_run()
    config.stash[_store] = store = Store(place, run, number(config, "chaos_keep", least=1))
    if worker is not None:  # xdist's controller has checked this already and reports it
        return
    config.pluginmanager.register(Collector(config, store), "brownout-collector")
    for name, values in (("chaos_provider", PROVIDERS), ("chaos_wire", WIRES), ("chaos_launch", LAUNCHES)):
        if chosen(config, name) not in values:
            raise pytest.UsageError(f"{name} is one of {', '.join(values)}, not {chosen(config, name)!r}")
    seed_of(config)
    shard_of(config)
    if config.getoption("chaos_wire") == "toxiproxy" and (why := _no_toxiproxy()):
        raise pytest.UsageError(f"--chaos-wire=toxiproxy: {why}")
    # if BROWNOUT_REQUIRE is not set, nothing is required, so the module that looks for it is not imported
    if os.environ.get("BROWNOUT_REQUIRE"):
        from brownout.subject.servers.ladder import missing_requirements

        if missing := missing_requirements():
            raise pytest.UsageError("\n".join(missing))


@pytest.hookimpl(trylast=True)  # after -k and -m
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Keep the tests of the shard, those whose trials run alone last: otherwise all others wait for each of them."""
    if shard := shard_of(config):
        own = set(shard.share(items, lambda item: item.nodeid))
        config.hook.pytest_deselected(items=[item for item in items if item not in own])
        items[:] = [item for item in items if item in own]
    items.sort(key=lambda item: item.get_closest_marker("alone") is not None)


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Give each xdist worker the name of the run, so that all workers add to the same run (hook of xdist)."""
    node.workerinput[RUN] = node.config.stash[_store].run


def _no_toxiproxy() -> str:
    from importlib.util import find_spec
    from shutil import which

    if not which("toxiproxy-server"):
        return "no toxiproxy-server is on PATH; install it, or use the built-in wire"
    return "" if find_spec("toxiproxy") else "the package toxiproxy-python is not installed"


def pytest_report_header(config: pytest.Config) -> list[str]:
    """Return the header in a project that names brownout in an early `conftest.py` or in an option."""
    options = any(config.getoption(f"chaos_{name}") is not None for name in OPTIONS)
    conftests = (getattr(plugin, "__file__", None) for plugin in config.pluginmanager.get_plugins())
    named = any(b"brownout" in Path(file).read_bytes() for file in conftests
                if file and Path(file).name == "conftest.py")  # fmt: skip
    return _header(config) if options or named else []


def pytest_report_collectionfinish(config: pytest.Config, items: list[pytest.Item]) -> list[str]:
    """Print the header if it was not printed before and a test uses brownout, and the application's own Python. If no
    test uses brownout, the plugin does not look for a Redis server."""
    if config.get_verbosity() < 0:
        return []
    used = any(item.get_closest_marker("chaos") or FIXTURES & set(getattr(item, "fixturenames", ())) for item in items)
    if not used:
        return []
    from brownout.pytest_python import python_lines

    return [*([] if config.stash[_headed] else _header(config)), *python_lines(config, items)]


def _header(config: pytest.Config) -> list[str]:
    """Return lines of text with the versions, the kind of network proxy, and the source of the Redis server for each
    layer of tests, with the reasons why a preferred source is not used."""
    config.stash[_headed] = True
    from brownout.run.store import versions
    from brownout.subject.servers.ladder import NoRedis, choose

    python = {"python": sys.version.split()[0]}
    found = [f"{name} {version}" for name, version in (python | versions(*VERSIONS)).items()]
    lines = [f"brownout: {', '.join(found)}; wire {chosen(config, 'chaos_wire')}".replace("redis ", "redis-py ")]
    for layer, prefer in (("integration", "container"), ("chaos", "local")):
        try:
            rung = choose(prefer, provider(config), pull=False)  # type: ignore[arg-type] # the loop's `str`
            lines += [f"brownout: {rung} for {layer}", *(f"brownout:   not {why}" for why in rung.passed_over)]
        except NoRedis as error:
            lines.append(f"brownout: {layer}: {error}")
    return lines


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Print on which Redis the tests really ran when it was not the preferred Redis, because pulling an image may fail
    after the header."""
    for rung in config.stash[RUNGS].values():
        if rung.passed_over:
            terminalreporter.write_line(f"brownout: ran on {rung}; not on {'; '.join(rung.passed_over)}")


def pytest_unconfigure(config: pytest.Config) -> None:
    """End the servers and the processes that several tests have shared."""
    for server, _ in config.stash.get(SERVERS, {}).values():
        server.stop()
    if launchers := config.stash.get(_launchers, None):
        launchers.close()


@pytest.fixture(scope="session")
def application() -> Application:
    """The application under test; a project's conftest.py overrides this fixture."""
    raise pytest.UsageError("override the fixture `application`: it returns a brownout.Application")


@pytest.fixture
def lab(request: pytest.FixtureRequest, application: Application) -> Lab:
    """The fixture `lab` for one scenario: describe the scenario, call `run()`, and check its promises with
    `must_hold()`."""
    from brownout.lab import Lab
    from brownout.plan.seed import fresh_seed
    from brownout.pytest_python import with_python
    from brownout.report.maps.row import Rows
    from brownout.report.page.handlers import TrialPage
    from brownout.report.progress import of_pytest
    from brownout.report.results import results
    from brownout.report.terminal import failure
    from brownout.run.events import Stream
    from brownout.run.setting import Setting
    from brownout.subject.environment import project_of, python_of

    config, node = request.config, request.node
    root = project_of(node.path, config.rootpath)
    application = with_python(config, application)
    application = replace(application, python=application.python or python_of(root))
    store, seed, marker = config.stash[_store], seed_of(config), node.get_closest_marker("wire")
    progress = of_pytest(config, store.seconds(node.nodeid))
    with progress.during("looking for a Redis"):
        rung = rung_of(request)
    wire = str(marker.args[0]) if marker else chosen(config, "chaos_wire")
    if wire == "toxiproxy" and (why := _no_toxiproxy()):
        pytest.skip(f"the wire is to be toxiproxy: {why}")
    launch = node.get_closest_marker("launch")
    with progress.during("starting the process that others are forked from"):
        launcher = _launcher(
            config, application, root, str(launch.args[0]) if launch else chosen(config, "chaos_launch")
        )
    file, line, _ = node.location
    rows = Rows(node.user_properties, config.rootpath, file, (line or 0) + 1)
    node.stash[_rows] = rows.kept

    def again(result: Result) -> tuple[str, ...]:
        replay = shlex.join(["brownout", "replay", os.path.relpath(result.folder, config.invocation_params.dir)])
        commands = (replay, _again(config, node.nodeid, result.plan.seed))
        return commands if result.validity == "invalid" else commands[1:]

    setting = Setting(
        scenario=node.nodeid,
        application=application,
        root=root,
        store=store,
        rung=rung,
        make_wire=_wire_maker(wire),
        launcher=launcher,
        emit=Stream(progress, results, rows, TrialPage(again)),
        alone=node.get_closest_marker("alone") is not None,
    )

    def text(result: Result) -> str:
        return failure(result, again(result), config.rootpath)

    taker = config.pluginmanager.get_plugin(TAKER)
    bench = Lab(setting, fresh_seed() if seed is None else seed, text, taker and taker.take)
    node.stash[_lab] = bench
    return bench


def _launcher(config: pytest.Config, application: Application, root: Path, launch: str) -> Launcher:
    from brownout.subject.processes.forks import NotForkable
    from brownout.subject.processes.launchers import Launchers

    launchers = config.stash.setdefault(_launchers, Launchers())
    try:
        return launchers.of(application, root, cast("Launch", launch))
    except NotForkable as error:
        pytest.fail(f"the processes are to be forked, and cannot be: {error}", pytrace=False)


def _again(config: pytest.Config, nodeid: str, seed: int) -> str:
    """Return the command that runs a trial again in the folder in which pytest was started."""
    names = ("chaos_wire", "chaos_provider", "chaos_launch", "chaos_python", "chaos_store")
    more = [f"--{name.replace('_', '-')}={value}" for name in names if (value := config.getoption(name)) is not None]
    path, *inside = nodeid.split("::")
    here = os.path.relpath(config.rootpath / path, config.invocation_params.dir)
    return shlex.join(["pytest", "::".join([here, *inside]), f"--chaos-seed={seed}", *more])


@pytest.hookimpl(wrapper=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> Generator[None, object, object]:
    """Fail a scenario that never checked the outcome of its trial."""
    done = yield
    lab = pyfuncitem.stash.get(_lab, None)
    if lab and (why := lab.unasked()):
        pytest.fail(why, pytrace=False)
    return done


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Add the results of the trials to the test's report, so that pytest's summary line of a failed test shows what was
    wrong."""
    report = yield
    rows = item.stash.get(_rows, [])
    if call.when == "call" and rows:
        from brownout.report.collector import attach

        attach(report, call, rows, [outcome.text for outcome in item.stash[_lab].outcomes])
    return report


def _wire_maker(kind: str) -> MakeWire:
    def make(seed: int, on_event: OnEvent, log: Path) -> AnyWire:
        if kind == "builtin":
            from brownout.wire import Wire

            return Wire(seed=seed, on_event=on_event).start()
        from brownout.subject.servers import toxiproxy_server

        return toxiproxy_server.started(log, seed=seed, on_event=on_event)

    return make
