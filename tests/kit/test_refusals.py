"""The table of refusals against a real Redis that was brought into each state."""

import socket
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from redis.exceptions import ResponseError

from brownout.faults.broker import FILL, FILLER_DB, LOAD_DELAY
from brownout.subject.ports import HOST
from brownout.subject.servers import ladder
from brownout.subject.servers.redis_server import RedisServer
from brownout.subject.waiting import eventually
from brownout.wire.redis.refusals import COMMANDS, STATES, Command, name_of, refusal

PING, PATIENCE = b"PING\r\n", 10.0  # seconds
#: Single commands, and what is between MULTI and EXEC.
ALONE = """
HELLO 3 / HELLO 3 AUTH default wrong / AUTH default wrong / PING / SELECT 1 / INFO server / MULTI / EXEC / UNWATCH
CLIENT SETINFO LIB-NAME redis-py / CLIENT MAINT_NOTIFICATIONS ON / CLIENT SETNAME me / CLIENT ID / WATCH unacked
SADD binding q / SREM binding none / SMEMBERS binding / SISMEMBER binding q / LPUSH celery m / RPUSH celery m
BRPOP celery 1 / RPOP celery / LLEN celery / LRANGE celery 0 1 / GET result / MGET result chord.t / EXISTS result
SET mutex t EX 60 NX / SETEX result 60 r / DEL doomed / EXPIRE result 60 / INCR counter / PUBLISH result r
SUBSCRIBE result / UNSUBSCRIBE result / PSUBSCRIBE * / PUNSUBSCRIBE * / SUBSCRIBE one two / UNSUBSCRIBE
ZADD index 1 tag / ZREM index none / ZRANGE index 0 -1 / ZCOUNT index -inf +inf / ZRANGEBYSCORE index 0 9
ZREVRANGEBYSCORE index 9 0 WITHSCORES LIMIT 0 10 / HSET unacked tag m / HDEL unacked none / HGET unacked tag
EVALSHA c74b1d8d9f4b4f9c17a50f9ae2b3f7a6d6a5b3f1 1 mutex t / SCRIPT LOAD return
"""
TOGETHER = """
ZADD index 1 tag; HSET unacked tag m / ZREM index none; HDEL unacked none / LRANGE celery 0 1
SETEX result 60 r; PUBLISH result r / SET result r; PUBLISH result r / GET result; PUBLISH result r
RPUSH chord.j r; LLEN chord.j; GET chord.t; EXPIRE chord.j 60; EXPIRE chord.t 60 / PUBLISH result r; PUBLISH result r
ZADD chord.z 0 r; ZCOUNT chord.z -inf +inf; GET chord.t / ZREM index none; HDEL unacked none; LPUSH celery m
ZREM index none; HDEL unacked none; RPUSH celery m / HDEL unacked none; RPUSH celery m / LLEN celery; DEL doomed
"""
Answers = Mapping[str, bytes]
Heard = Callable[..., Answers]


def each(text: str) -> Iterator[tuple[str, list[Command]]]:
    for request in text.strip().replace("\n", " / ").split(" / "):
        yield request, [tuple(word.encode() for word in command.split()) for command in request.split("; ")]


REQUESTS: Mapping[str, list[Command]] = dict(each(ALONE)) | {
    f"MULTI; {request}; EXEC": [(b"MULTI",), *commands, (b"EXEC",)] for request, commands in each(TOGETHER)
}
SENT = sorted({name_of(command) for request in REQUESTS.values() for command in request} & COMMANDS.keys())


def packed(request: Sequence[Command]) -> bytes:
    return b"".join(
        b"*%d\r\n" % len(command) + b"".join(b"$%d\r\n%s\r\n" % (len(word), word) for word in command)
        for command in request
    )


def rest(sock: socket.socket, until: bytes = b"\0") -> bytes:
    """What the server sends until it closes the connection, or until some last bytes."""
    answer = b""
    while not answer.endswith(until) and (more := sock.recv(1 << 16)):
        answer += more
    return answer


def ask(port: int, *, resp3: bool) -> Answers:
    """Each request on a connection of its own, with a QUIT behind it, which every state answers by +OK and the end."""
    with ExitStack() as opened:
        lines = {line: opened.enter_context(socket.create_connection((HOST, port), PATIENCE)) for line in REQUESTS}
        for line, sock in lines.items():
            if resp3:
                sock.sendall(packed([(b"HELLO", b"3")]))
                assert rest(sock, b"modules\r\n*0\r\n").startswith(b"%7\r\n")
            sock.sendall(packed([*REQUESTS[line], (b"QUIT",)]))
        found = {line: rest(sock) for line, sock in lines.items()}
    assert all(answer.endswith(b"+OK\r\n") for answer in found.values())
    return {line: as_7_says(answer.removesuffix(b"+OK\r\n")) for line, answer in found.items()}


def as_7_says(answer: bytes) -> bytes:
    """Later versions, and Valkey, say some of it in other words."""
    return answer.replace(b"Valkey is", b"Redis is").replace(b"HELLO <proto> AUTH", b"HELLO AUTH")


def errors(answer: bytes) -> list[bytes]:
    return [line for line in answer.split(b"\r\n") if line.startswith(b"-")]


def differences(state: str, heard: Answers, healthy: Answers) -> list[str]:
    """The requests for which the table does not say what was heard. Where it refuses nothing, no new error is heard."""
    wrong = []
    for line, request in REQUESTS.items():
        said, told = heard[line], refusal(state, request)
        agreed = said == told if told is not None else errors(said) == errors(healthy[line])
        # 7.0 does not know CLIENT SETINFO; a later one may refuse it, where the table is silent.
        if not agreed and (told, said) != (None, STATES[state].error if "CLIENT SETINFO" in line else b""):
            wrong.append(f"{line}: {said!r}, not {told!r}")
    return wrong


class Bench:
    """A server of one's own, and a connection to it that is older than every state."""

    def __init__(self, server: RedisServer) -> None:
        self.server = server
        self.old = server.client(timeout=PATIENCE, decode=True)
        self.old.rpush("celery", *range(9))
        self.old.set("result", "r")

    def connection(self) -> socket.socket:
        return socket.create_connection((HOST, self.server.port), PATIENCE)

    def wait_for(self, start: bytes) -> None:
        def answered() -> bool:
            with self.connection() as sock:
                sock.sendall(PING)
                return sock.recv(1 << 12).startswith(start)

        eventually(answered, within=PATIENCE, what=f"the server answers {start!r}", ignoring=OSError)

    @contextmanager
    def configured(self, **values: str) -> Iterator[None]:
        wanted = {name.replace("_", "-"): value for name, value in values.items()}
        before = {name: str(self.old.config_get(name)[name]) for name in wanted}
        try:
            for name, value in wanted.items():
                self.old.config_set(name, value)
            yield
        finally:
            for name, value in before.items():
                self.old.config_set(name, value)


@contextmanager
def loading(bench: Bench) -> Iterator[None]:
    with bench.server.client(FILLER_DB, timeout=PATIENCE) as client:
        if not client.exists("brownout-filler"):
            client.eval(FILL, 0)
    bench.server.relaunch({"key-load-delay": LOAD_DELAY})
    bench.wait_for(b"-LOADING")
    bench.old.connection_pool.disconnect()
    try:
        yield
        assert bench.old.info("persistence")["loading"] == 1, "it was loaded before all had been asked"
    finally:
        bench.old.config_set("key-load-delay", "0")
        bench.server.wait_ready()


@contextmanager
def readonly(bench: Bench) -> Iterator[None]:
    bench.old.replicaof("127.0.0.1", "1")  # nobody listens there
    try:
        yield
    finally:
        bench.old.replicaof("NO", "ONE")


@contextmanager
def busy(bench: Bench) -> Iterator[None]:
    with bench.configured(busy_reply_threshold="1"), bench.connection() as sock:
        sock.sendall(packed([(b"EVAL", b"while true do redis.call('GET', 'result') end", b"0")]))
        bench.wait_for(b"-BUSY")
        try:
            yield
        finally:
            bench.old.script_kill()
            bench.wait_for(b"+PONG")


@contextmanager
def misconf(bench: Bench) -> Iterator[None]:
    """A snapshot fails, because a directory stands where its file is to be."""
    failed = {"rdb_bgsave_in_progress": 0, "rdb_last_bgsave_status": "err"}.items()
    path = Path(*(str(bench.old.config_get(name)[name]) for name in ("dir", "dbfilename")))
    path.mkdir()
    try:
        with bench.configured(save="3600 1"):
            bench.old.bgsave()
            eventually(lambda: failed <= bench.old.info("persistence").items(), within=PATIENCE, what="it fails")
            yield
    finally:
        path.rmdir()


ENTER: Mapping[str, Callable[[Bench], AbstractContextManager[None]]] = {
    "healthy": lambda _: nullcontext(),
    "loading": loading,
    "readonly": readonly,
    "busy": busy,
    "oom": lambda bench: bench.configured(maxmemory_policy="noeviction", maxmemory="1"),
    "misconf": misconf,
    "noauth": lambda bench: bench.configured(requirepass="not known to the client"),
    "maxclients": lambda bench: bench.configured(maxclients="1"),
}
ASKABLE = [name for name, state in STATES.items() if not state.closes]


@pytest.fixture(scope="module")
def bench() -> Iterator[Bench]:
    try:
        rung = ladder.find("local")
    except ladder.NoRedis as error:
        pytest.skip(str(error))
    with ladder.server(rung, persistence=True) as server:
        if int(server.version.partition(".")[0]) < 7:
            pytest.skip(f"the table is that of Redis 7, not {server.version}")
        bench = Bench(server)
        with bench.old:
            yield bench


@pytest.fixture(scope="module")
def heard(bench: Bench) -> Heard:
    """Every request's answer in a state that is brought about once."""

    @cache
    def heard(state: str, *, resp3: bool) -> Answers:
        with ENTER[state](bench):
            return ask(bench.server.port, resp3=resp3)

    return heard


@pytest.mark.parametrize("resp3", [False, True], ids=["resp2", "resp3"])
@pytest.mark.parametrize("state", ASKABLE)
def test_the_table_says_what_a_server_in_this_state_answers(state: str, resp3: bool, heard: Heard) -> None:
    # Who may not say HELLO speaks no RESP3.
    assert differences(state, heard(state, resp3=resp3 and state != "noauth"), heard("healthy", resp3=False)) == []


def test_a_server_without_room_says_so_unasked_and_closes(bench: Bench) -> None:
    with ENTER["maxclients"](bench), bench.connection() as sock:
        answer = rest(sock)
    assert {refusal("maxclients", request) for request in REQUESTS.values()} == {answer}


@pytest.mark.parametrize("state", sorted(STATES.keys() - {"loading"}))  # there, a restart leaves no connection
def test_who_was_connected_before_is_refused_the_same_or_nothing(state: str, bench: Bench) -> None:
    with bench.connection() as sock:
        sock.sendall(PING)
        assert sock.recv(100) == b"+PONG\r\n"
        with ENTER[state](bench):
            sock.sendall(packed(REQUESTS["SET mutex t EX 60 NX"]))
            refused = as_7_says(sock.recv(1000))
    assert (refused == STATES[state].error) is not STATES[state].newcomers


def test_a_replica_that_loads_refuses_who_was_connected_before(bench: Bench) -> None:
    """So LOADING in the middle of a connection is no invention, which a restart would make it."""
    rung, request = ladder.find("local"), REQUESTS["GET result"]
    slow = {"key-load-delay": "1000", "loading-process-events-interval-bytes": "1024"}  # us a key; it then answers
    with (
        ladder.server(rung, options={"repl-diskless-sync-delay": "0"}) as master,
        ladder.server(rung, options=slow) as replica,
        master.client() as source,
        Bench(replica).connection() as sock,
    ):
        source.eval("for n = 1, 4000 do redis.call('SET', 'filler-' .. n, n) end", 0)

        def refused() -> bool:
            sock.sendall(packed(request))
            return as_7_says(sock.recv(1000)) == refusal("loading", request)

        sock.sendall(packed([(b"REPLICAOF", b"127.0.0.1", b"%d" % master.port)]))
        assert sock.recv(100) == b"+OK\r\n"
        eventually(refused, within=PATIENCE, what="LOADING on the connection of before")


@pytest.mark.parametrize("state", ["readonly", "oom", "misconf"])
def test_a_script_is_started_and_fails_at_its_first_write(state: str, bench: Bench) -> None:
    """The error names the script and the line, so the table, which sees the request alone, refuses none."""
    reads, writes = "return redis.call('GET', 'result')", "return redis.call('SET', 'result', 1)"
    with ENTER[state](bench):
        assert bench.old.eval(reads, 0)
        with pytest.raises(ResponseError, match="script: "):
            bench.old.eval(writes, 0)
    assert refusal(state, [(b"EVAL", writes.encode(), b"0")]) is None


def test_the_flags_are_those_of_the_server(bench: Bench) -> None:
    used = {flag for flags in COMMANDS.values() for flag in flags}
    client: Any = bench.old  # redis-py has no types for it
    found = client.execute_command("COMMAND INFO", *COMMANDS)
    assert {name: used & set(entry[2]) for name, entry in zip(COMMANDS, found, strict=True)} == COMMANDS


def test_no_flag_can_be_wrong_unseen(heard: Heard, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each flag of each command that is asked, turned over: some state shows it."""
    unseen, said = [], {state: heard(state, resp3=False) for state in (*ASKABLE, "healthy")}
    for name in SENT:
        for flag in ("write", "denyoom", "loading", "allow_busy", "no_auth"):
            monkeypatch.setattr("brownout.wire.redis.refusals.COMMANDS", {**COMMANDS, name: COMMANDS[name] ^ {flag}})
            if not any(differences(state, said[state], said["healthy"]) for state in ASKABLE):
                unseen.append((name, flag))
    assert unseen == []
