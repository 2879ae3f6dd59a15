"""The pytest plugin. pytest imports it at every start, so it imports nothing but pytest until it is used."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

import pytest

if TYPE_CHECKING:
    from brownout.lab import Lab
    from brownout.report.row import Row
    from brownout.run.result import Result
    from brownout.run.setting import MakeWire
    from brownout.run.store import Store
    from brownout.subject.application import Application
    from brownout.subject.processes.launcher import Launcher
    from brownout.subject.processes.launchers import Launch, Launchers
    from brownout.subject.servers.ladder import Rung
    from brownout.subject.servers.redis_server import RedisServer
    from brownout.wire.interface import AnyWire
    from brownout.wire.tcp.wire import OnEvent

PROVIDERS = ("auto", "container", "local", "embedded")
WIRES = ("builtin", "toxiproxy")
LAUNCHES = ("auto", "forked", "cold")
VERSIONS = ("celery", "kombu", "redis", "fastapi", "uvicorn", "uvloop")
OPTIONS = ("provider", "wire", "launch", "seed", "store", "keep")
FIXTURES = frozenset({"lab", "redis_server", "own_redis"})  # whoever uses one of these uses this kit
TAKER = "brownout-capsule"  # the plugin that runs a capsule in the place of a test's first trial
_headed: pytest.StashKey[bool] = pytest.StashKey()
_servers: pytest.StashKey[dict[str, tuple[RedisServer, str]]] = pytest.StashKey()
_rungs: pytest.StashKey[dict[str, Rung]] = pytest.StashKey()
_store: pytest.StashKey[Store] = pytest.StashKey()
_lab: pytest.StashKey[Lab] = pytest.StashKey()
_rows: pytest.StashKey[list[Row]] = pytest.StashKey()
_launchers: pytest.StashKey[Launchers] = pytest.StashKey()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Options, each with a twin in the configuration file: `--chaos-seed` is `chaos_seed` there."""
    group = parser.getgroup("brownout")

    def option(name: str, help: str, default: str = "", **more: Any) -> None:
        twin = name.replace("-", "_")
        group.addoption(f"--{name}", help=f"{help} (ini: {twin})", **more)
        parser.addini(twin, help, default=default)

    option("chaos-provider", "where Redis comes from", "auto", choices=PROVIDERS)
    option("chaos-wire", "what carries network faults out", "builtin", choices=WIRES)
    option("chaos-launch", "how processes of the subject are started", "auto", choices=LAUNCHES)
    option("chaos-seed", "seed of every chance in a trial; a new one each time when there is none", metavar="N")
    option("chaos-store", "where trials leave their traces, from the root directory", "store", metavar="DIR")
    option("chaos-keep", "of how many runs the store keeps the traces", "20", metavar="N")


def chosen(config: pytest.Config, name: str) -> str:
    """The value of an option, else of its twin in the configuration file."""
    given = config.getoption(name)
    return str(config.getini(name) if given is None else given)


def provider(config: pytest.Config) -> str:
    """The provider asked for."""
    return chosen(config, "chaos_provider")


def pytest_configure(config: pytest.Config) -> None:
    """Markers; and what is wrong with the options, or missed by BROWNOUT_REQUIRE, before any test is skipped for it."""
    config.addinivalue_line("markers", "chaos: breaks parts of a real system on purpose; prefers a local Redis")
    config.addinivalue_line(
        "markers", "wire(kind): the wire of this scenario, builtin or toxiproxy, whatever the option"
    )
    config.addinivalue_line(
        "markers", "launch(kind): how the processes of this scenario are started, cold or forked, whatever the option"
    )
    config.addinivalue_line("markers", "alone: measures short times; its trials run alone, and after the other tests")
    config.stash[_servers], config.stash[_rungs], config.stash[_headed] = {}, {}, False
    from brownout.report.collector import Collector
    from brownout.run.store import Store, new_run

    place = config.rootpath / chosen(config, "chaos_store")
    worker = getattr(config, "workerinput", None)
    run = worker["brownout_run"] if worker else new_run()
    config.stash[_store] = store = Store(place, run, _number(config, "chaos_keep", least=1))
    if worker is not None:  # its controller has looked already, and will tell
        return
    config.pluginmanager.register(Collector(config, store), "brownout-collector")
    for name, values in (("chaos_provider", PROVIDERS), ("chaos_wire", WIRES), ("chaos_launch", LAUNCHES)):
        if chosen(config, name) not in values:
            raise pytest.UsageError(f"{name} is one of {', '.join(values)}, not {chosen(config, name)!r}")
    _seed(config)
    if config.getoption("chaos_wire") == "toxiproxy" and (why := _no_toxiproxy()):
        raise pytest.UsageError(f"--chaos-wire=toxiproxy: {why}")
    if os.environ.get("BROWNOUT_REQUIRE"):  # else nothing is missing, and what would look for it is not imported
        from brownout.subject.servers.ladder import missing_requirements

        if missing := missing_requirements():
            raise pytest.UsageError("\n".join(missing))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests whose trials run alone come last: else the others wait for each of them again and again."""
    items.sort(key=lambda item: item.get_closest_marker("alone") is not None)


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """xdist's: all workers add to the same run."""
    node.workerinput["brownout_run"] = node.config.stash[_store].run


def _number(config: pytest.Config, name: str, least: int, below: int = sys.maxsize) -> int:
    value = chosen(config, name)
    if not value.isdecimal() or not least <= int(value) < below:
        raise pytest.UsageError(f"{name} is a whole number from {least} to {below - 1}, not {value!r}")
    return int(value)


def _seed(config: pytest.Config) -> int | None:
    return _number(config, "chaos_seed", 0, 1 << 64) if chosen(config, "chaos_seed") else None


def _no_toxiproxy() -> str:
    from importlib.util import find_spec
    from shutil import which

    if not which("toxiproxy-server"):
        return "no toxiproxy-server is on PATH; install it, or use the built-in wire"
    return "" if find_spec("toxiproxy") else "the package toxiproxy-python is not installed"


def pytest_report_header(config: pytest.Config) -> list[str]:
    """The header, in a project that names this kit in a `conftest.py` that is read at the start, or in an option."""
    options = any(config.getoption(f"chaos_{name}") is not None for name in OPTIONS)
    conftests = (getattr(plugin, "__file__", None) for plugin in config.pluginmanager.get_plugins())
    named = any(b"brownout" in Path(file).read_bytes() for file in conftests
                if file and Path(file).name == "conftest.py")  # fmt: skip
    return _header(config) if options or named else []


def pytest_report_collectionfinish(config: pytest.Config, items: list[pytest.Item]) -> list[str]:
    """The header, if there was none before and a test uses this kit. Without such a test no Redis is looked for."""
    if config.stash[_headed] or config.get_verbosity() < 0:
        return []
    used = any(item.get_closest_marker("chaos") or FIXTURES & set(getattr(item, "fixturenames", ())) for item in items)
    return _header(config) if used else []


def _header(config: pytest.Config) -> list[str]:
    """Say what is tested with: versions, the wire, which Redis each layer would get and why not a better one."""
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
    """Say on which Redis the tests really ran when it was not their first choice: a pull may fail after the header."""
    for rung in config.stash[_rungs].values():
        if rung.passed_over:
            terminalreporter.write_line(f"brownout: ran on {rung}; not on {'; '.join(rung.passed_over)}")


def pytest_unconfigure(config: pytest.Config) -> None:
    """End the servers and the launchers that tests shared."""
    for server, _ in config.stash.get(_servers, {}).values():
        server.stop()
    if launchers := config.stash.get(_launchers, None):
        launchers.close()


def _rung(request: pytest.FixtureRequest) -> Rung:
    """Choose a rung for the test's layer, once a session; the test is skipped when there is none."""
    from brownout.subject.servers.ladder import NoRedis, choose

    chaos = request.node.get_closest_marker("chaos") or "lab" in request.fixturenames
    prefer: Literal["local", "container"] = "local" if chaos else "container"
    chosen = request.config.stash[_rungs]
    if prefer not in chosen:
        try:
            chosen[prefer] = choose(prefer, provider(request.config))
        except NoRedis as error:
            pytest.skip(str(error))
    return chosen[prefer]


@pytest.fixture
def redis_server(request: pytest.FixtureRequest) -> Iterator[RedisServer]:
    """An empty Redis for a test that does not break it: one server a session, flushed before and after each test.

    A test that pauses, kills or restarts its server takes `own_redis`. If it does so with this one, it is an error
    here, and the next test gets a new server.
    """
    from brownout.subject.servers.ladder import server

    rung, shared = _rung(request), request.config.stash[_servers]
    if rung.name not in shared:
        new = server(rung).start()
        shared[rung.name] = (new, new.run_id)
    given, run_id = shared[rung.name]
    _flush(given, run_id)
    yield given
    try:
        _flush(given, run_id)
    except Exception as error:
        del shared[rung.name]
        given.stop()
        raise RuntimeError("this test broke the Redis that all tests share: let it take own_redis") from error


def _flush(server: RedisServer, run_id: str) -> None:
    # Redis makes a new run_id at every start: only the very server that was started here is ever flushed.
    with server.client() as client:
        if client.info("server")["run_id"] != run_id:
            raise RuntimeError(f"the server on port {server.port} is not the one that was started")
        client.flushall()


@pytest.fixture
def own_redis(request: pytest.FixtureRequest) -> Iterator[RedisServer]:
    """A Redis of the test's own that keeps its data over a restart: kill, pause and restart it at will."""
    from brownout.subject.servers.ladder import server

    with server(_rung(request), persistence=True) as own:
        yield own


@pytest.fixture(scope="session")
def application() -> Application:
    """The application under test; a project's conftest.py overrides this fixture."""
    raise pytest.UsageError("override the fixture `application`: it returns a brownout.Application")


@pytest.fixture
def lab(request: pytest.FixtureRequest, application: Application) -> Lab:
    """A bench for one scenario: describe it, `run()` it, and let its promises hold."""
    from brownout.lab import Lab
    from brownout.plan.seed import fresh_seed
    from brownout.report.progress import of_pytest
    from brownout.report.results import results
    from brownout.report.row import Rows
    from brownout.report.terminal import failure
    from brownout.run.events import Stream
    from brownout.run.setting import Setting

    config, node = request.config, request.node
    seed, rung, marker = _seed(config), _rung(request), node.get_closest_marker("wire")
    wire = str(marker.args[0]) if marker else chosen(config, "chaos_wire")
    if wire == "toxiproxy" and (why := _no_toxiproxy()):
        pytest.skip(f"the wire is to be toxiproxy: {why}")
    launch = node.get_closest_marker("launch")
    launcher = _launcher(config, application, str(launch.args[0]) if launch else chosen(config, "chaos_launch"))
    file, line, _ = node.location
    rows = Rows(node.user_properties, config.rootpath, file, (line or 0) + 1)
    node.stash[_rows] = rows.kept
    setting = Setting(
        scenario=node.nodeid,
        application=application,
        root=config.rootpath,
        store=config.stash[_store],
        rung=rung,
        make_wire=_wire_maker(wire),
        launcher=launcher,
        emit=Stream(of_pytest(config), results, rows),
        alone=node.get_closest_marker("alone") is not None,
    )

    def text(result: Result) -> str:
        return failure(result, _again(config, node.nodeid, result.plan.seed), config.rootpath)

    taker = config.pluginmanager.get_plugin(TAKER)
    bench = Lab(setting, fresh_seed() if seed is None else seed, text, taker and taker.take)
    node.stash[_lab] = bench
    return bench


def _launcher(config: pytest.Config, application: Application, launch: str) -> Launcher:
    from brownout.subject.processes.forks import NotForkable
    from brownout.subject.processes.launchers import Launchers

    launchers = config.stash.setdefault(_launchers, Launchers())
    try:
        return launchers.of(application, config.rootpath, cast("Launch", launch))
    except NotForkable as error:
        pytest.fail(f"the processes are to be forked, and cannot be: {error}", pytrace=False)


def _again(config: pytest.Config, nodeid: str, seed: int) -> str:
    """The command that runs a trial again from where pytest was started."""
    names = ("chaos_wire", "chaos_provider", "chaos_launch", "chaos_store")
    more = [f"--{name.replace('_', '-')}={given}" for name in names if (given := config.getoption(name)) is not None]
    path, *inside = nodeid.split("::")
    here = os.path.relpath(config.rootpath / path, config.invocation_params.dir)
    return shlex.join(["pytest", "::".join([here, *inside]), f"--chaos-seed={seed}", *more])


@pytest.hookimpl(wrapper=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> Generator[None, object, object]:
    """A scenario that ends without having asked what came out is not green."""
    done = yield
    lab = pyfuncitem.stash.get(_lab, None)
    if lab and (why := lab.unasked()):
        pytest.fail(why, pytrace=False)
    return done


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Hang the trials on the test's report; what a failure is called in one line is its verdict's sentence."""
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
