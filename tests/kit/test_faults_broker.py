"""The laws of design.md over every fault that a broker can have, on a real Redis."""

from collections.abc import Callable, Iterator

import pytest

from brownout import faults
from brownout.faults.strike import Strike, strike
from brownout.plan.fault import FAULTS, Fault
from brownout.subject.subject import Subject
from brownout.subject.waiting import eventually
from brownout.wire.tcp.wire import Wire
from tests.kit.faults_subject import PATIENCE, SILENCE, Line, direct, running

Inject = Callable[[str, Fault], Strike]
EDGE = "relay->broker"
PUSH, READ = b"LPUSH celery x\r\n", b"EXISTS kept\r\n"
#: For each fault: what a connection from before the strike, and a new one, get for a write and for a read.
CASES: dict[str, tuple[Fault, bytes, set[str], set[str]]] = {
    "kill": (faults.kill(), PUSH, {"closed", "reset"}, {"closed", "reset"}),
    "terminate": (faults.terminate(), PUSH, {"closed", "reset"}, {"closed", "reset"}),
    "stop": (faults.stop(), PUSH, {"silent"}, {"silent"}),
    "out_of_memory": (faults.out_of_memory(), PUSH, {"-OOM"}, {"-OOM"}),
    "read_only": (faults.read_only(), PUSH, {"-READONLY"}, {"-READONLY"}),
    "out_of_clients": (faults.out_of_clients(), READ, {":1"}, {"-ERR", "reset", "closed"}),
    "freeze": (faults.freeze(), PUSH, {"silent"}, {"silent"}),
    "loading": (faults.loading(), PUSH, {"closed", "reset"}, {"-LOADING"}),
    "disconnect": (faults.disconnect(), READ, {"closed", "reset"}, {":1"}),
    "flush": (faults.flush(), READ, {":0"}, {":0"}),
    "evict_key": (faults.evict_key("kep*"), READ, {":0"}, {":0"}),
}
READS = {"out_of_memory": ":1", "read_only": ":1", "freeze": ":1", "stop": "silent", "loading": "-LOADING"}


@pytest.fixture(scope="module")
def subject(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Subject]:
    with Wire(seed=1) as wire, running(tmp_path_factory.mktemp("broker"), wire) as subject:
        yield subject


@pytest.fixture(autouse=True)
def kept(subject: Subject) -> None:
    with direct(subject) as redis:
        redis.set("kept", 1)


@pytest.fixture
def inject(subject: Subject) -> Iterator[Inject]:
    """Strike; what a failed test leaves on is healed."""
    struck: list[Strike] = []

    def inject(target: str, fault: Fault) -> Strike:
        struck.append(strike(subject, target, fault))
        return struck[-1]

    yield inject
    for hit in reversed(struck):
        hit.heal()


@pytest.fixture(params=CASES)
def name(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


def test_every_fault_of_a_broker_is_tried_here() -> None:
    assert CASES.keys() == {name for name, kind in FAULTS.items() if "broker" in kind.targets and not kind.wires}


def test_it_acts_leaves_evidence_and_heals(subject: Subject, inject: Inject, name: str) -> None:
    fault, request, old, new = CASES[name]
    port = subject.edges[EDGE].port

    def expected() -> bool:
        with Line(port) as after:
            return after.ask(SILENCE if "silent" in new else PATIENCE, request) in new

    with Line(port) as before:
        assert before.ask(request=READ) == ":1"
        hit = inject("broker", fault)
        assert before.ask(SILENCE if "silent" in old else PATIENCE, request) in old
        # A server that starts again refuses for a moment, before it answers LOADING.
        eventually(expected, within=PATIENCE, what=f"a new connection gets {new}")
        if name in READS:
            with Line(port) as after:
                assert after.ask(SILENCE if READS[name] == "silent" else PATIENCE, READ) == READS[name]
        evidence = eventually(hit.acted, within=PATIENCE, what="there is evidence")
    hit.heal()
    hit.heal()
    assert hit.acted() == evidence
    with Line(port) as healed:
        assert healed.ask(request=READ) == (":0" if name in {"flush", "evict_key"} else ":1")
        assert healed.ask(request=PUSH).startswith(":")


def test_nothing_met_nothing_shown_and_twice_is_once(subject: Subject, inject: Inject, name: str) -> None:
    fault = CASES[name][0]
    with direct(subject) as redis:
        redis.flushall()
        before = {**redis.config_get("max*"), "role": redis.info("replication")["role"]}
    first, second = inject("broker", fault), inject("broker", fault)
    # Ending or pausing the server is an effect in itself; of two, only one can have it.
    if name in {"kill", "terminate", "stop"}:
        eventually(first.acted, within=PATIENCE, what="the server itself shows it")
    else:
        assert first.acted() == ""
    if name != "stop":
        assert second.acted() == ""
    second.heal()
    run = subject.broker.run_id
    first.heal()
    second.heal()
    with direct(subject) as redis:
        assert redis.info("server")["run_id"] == run, "a fault that is healed was undone again"
    if name not in {"kill", "terminate", "stop"}:
        assert (first.acted(), second.acted()) == ("", "")
    with direct(subject) as redis:
        assert {**redis.config_get("max*"), "role": redis.info("replication")["role"]} == before
        assert redis.lpush("celery", "x") == 1


def test_a_broker_in_a_container_heals_too_and_the_edges_follow_it(tmp_path_factory: pytest.TempPathFactory) -> None:
    with Wire() as wire, running(tmp_path_factory.mktemp("container"), wire, rung="container") as subject:
        with pytest.raises(OSError, match="use a local Redis"):
            strike(subject, "broker", faults.loading()).heal()
        for fault in (faults.out_of_memory(), faults.stop(), faults.kill()):
            hit = strike(subject, "broker", fault)
            with Line(subject.edges[EDGE].port) as line:
                assert line.ask(SILENCE, PUSH) in {"-OOM", "silent", "reset", "closed"}
                eventually(hit.acted, within=PATIENCE, what=f"there is evidence of {fault}")
            hit.heal()
            hit.heal()
            with Line(subject.edges[EDGE].port) as line:
                assert line.ask(request=PUSH).startswith(":"), fault


def test_our_own_witness_is_no_evidence_and_is_not_cut(subject: Subject, inject: Inject) -> None:
    """The broker probe reads in a transaction, whose commands a full Redis refuses, too."""
    with direct(subject) as redis:
        number = redis.client_id()
        for fault in (faults.out_of_memory(), faults.loading(), faults.disconnect()):
            hit = inject("broker", fault)
            if fault.name == "loading":
                number = 0
            with redis.pipeline(transaction=True) as pipe:
                pipe.lrange("celery", 0, -1)
                eventually(lambda: [pipe.reset(), tried(pipe)], within=PATIENCE, what="the probe is answered")
            assert hit.acted() == "", fault
            hit.heal()
            assert hit.acted() == "", fault
        assert number in (0, redis.client_id())


def tried(pipe: object) -> str:
    """Ask as the probe does; the error's class, or "read"."""
    from redis.exceptions import ConnectionError as Gone
    from redis.exceptions import RedisError

    pipe.lrange("celery", 0, -1)  # type: ignore[attr-defined]
    try:
        pipe.execute()  # type: ignore[attr-defined]
    except Gone as error:
        return "" if type(error) is Gone else type(error).__name__
    except RedisError as error:
        return type(error).__name__
    return "read"


def test_a_consumer_that_waits_for_work_is_not_held_by_a_freeze(subject: Subject, inject: Inject) -> None:
    with Line(subject.edges[EDGE].port) as consumer, Line(subject.edges[EDGE].port) as writer:
        assert consumer.ask(SILENCE, b"BRPOP nothing 60\r\n") == "silent"
        hit = inject("broker", faults.freeze())
        assert hit.acted() == ""
        assert writer.ask(SILENCE, PUSH) == "silent"
        hit.heal()
        assert hit.acted() == "lpush waits at Redis"


def test_a_flush_empties_the_database_of_its_target_alone(subject: Subject, inject: Inject) -> None:
    with subject.broker.client(1) as backend, direct(subject) as broker:
        broker.flushdb()
        broker.set("kept", 1)
        backend.set("result", 1)
        assert inject("broker", faults.flush()).acted() == "1 keys deleted"
        assert backend.exists("result") == 1
        assert inject("backend", faults.flush()).acted() == "1 keys deleted"
        assert backend.exists("result") == 0


def test_an_eviction_takes_one_key_of_the_broker_s_database(subject: Subject, inject: Inject) -> None:
    with subject.broker.client(1) as backend, direct(subject) as broker:
        broker.flushdb()
        for redis in (backend, broker):
            redis.mset({"kept-1": 1, "kept-2": 1, "other": 1})
        assert inject("broker", faults.evict_key("kept-*")).acted() == "key kept-1 evicted"
        assert sorted(broker.keys()) == ["kept-2", "other"]
        assert backend.exists("kept-1", "kept-2", "other") == 3


def test_what_ends_while_it_is_full_comes_back_empty_handed(subject: Subject, inject: Inject) -> None:
    """Faults that overlap heal in any order: an ended server has forgotten its settings."""
    full, dead = inject("broker", faults.out_of_memory()), inject("broker", faults.kill())
    full.heal()
    dead.heal()
    with direct(subject) as redis:
        assert redis.config_get("maxmemory")["maxmemory"] == "0"
        assert redis.exists("kept") == 1


def test_a_loading_broker_must_have_something_to_load(tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("forgetful")
    with Wire() as wire, running(folder, wire, persistent=False) as subject:
        with pytest.raises(LookupError, match="keeps its data"):
            strike(subject, "broker", faults.loading())
        with Line(subject.edges[EDGE].port) as line:
            assert line.ask() in {"+PONG", "late"}
