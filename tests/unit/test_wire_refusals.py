"""What the table of refusals says without a server; tests/kit/test_refusals.py compares it with one."""

import pytest

from brownout.wire.redis.refusals import ABORTED, COMMANDS, OK, QUEUED, STATES, name_of, refusal

TAKE = [(b"MULTI",), (b"ZADD", b"unacked_index", b"1", b"t"), (b"HSET", b"unacked", b"t", b"m"), (b"EXEC",)]
ACK = [(b"MULTI",), (b"ZREM", b"unacked_index", b"t"), (b"HDEL", b"unacked", b"t"), (b"EXEC",)]
STORE = [(b"MULTI",), (b"SETEX", b"meta", b"60", b"r"), (b"PUBLISH", b"meta", b"r"), (b"EXEC",)]


def test_every_error_is_one_line_that_a_client_reads_as_an_error() -> None:
    for name, state in STATES.items():
        assert state.name == name
        assert state.error.startswith(b"-")
        assert state.error.endswith(b"\r\n")
        assert state.error.count(b"\r\n") == 1
        assert state.newcomers or not state.closes


@pytest.mark.parametrize("state", STATES)
def test_a_transaction_gets_a_reply_to_each_of_its_commands_or_one_and_the_end(state: str) -> None:
    replies = refusal(state, TAKE)
    assert replies is not None
    assert replies.count(b"\r\n") == (1 if STATES[state].closes else len(TAKE))


def test_what_executes_in_a_transaction_is_queued_and_then_thrown_away() -> None:
    readonly = STATES["readonly"].error
    assert refusal("readonly", STORE) == OK + readonly + QUEUED + ABORTED
    assert refusal("oom", STORE) == OK + 2 * STATES["oom"].error + ABORTED


def test_an_exec_that_is_refused_itself_says_why() -> None:
    busy = STATES["busy"].error
    assert refusal("busy", ACK) == OK + busy + busy + b"-EXECABORT Transaction discarded because of: " + busy[1:]
    noauth = STATES["noauth"].error
    assert refusal("noauth", ACK) == 3 * noauth + b"-EXECABORT Transaction discarded because of: " + noauth[1:]


def test_a_full_server_deletes_alone_but_not_in_a_transaction() -> None:
    assert refusal("oom", [(b"HDEL", b"unacked", b"t")]) is None
    assert refusal("oom", ACK) == OK + 2 * STATES["oom"].error + ABORTED


@pytest.mark.parametrize(
    ("command", "refusing"),
    [
        (b"BRPOP celery 1", {"loading", "readonly", "busy", "misconf", "noauth", "maxclients"}),
        (b"LPUSH celery m", {"loading", "readonly", "busy", "oom", "misconf", "noauth", "maxclients"}),
        (b"GET meta", {"loading", "busy", "noauth", "maxclients"}),
        (b"subscribe meta", {"busy", "noauth", "maxclients"}),
        (b"WATCH unacked", {"noauth", "maxclients"}),
        (b"HELLO 3", {"noauth", "maxclients"}),
        (b"PING", {"loading", "busy", "misconf", "noauth", "maxclients"}),
        (b"script load x", {"loading", "busy", "noauth", "maxclients"}),
        (b"CLIENT SETINFO LIB-NAME redis-py", {"maxclients"}),
        (b"MODULE.COMMAND key", {"maxclients"}),
    ],
)
def test_which_states_refuse_a_command(command: bytes, refusing: set[str]) -> None:
    assert {state for state in STATES if refusal(state, [tuple(command.split())]) is not None} == refusing


def test_a_transaction_with_a_command_that_is_not_in_the_table_has_no_known_answer() -> None:
    assert refusal("oom", [*TAKE[:-1], (b"MODULE.COMMAND",), TAKE[-1]]) is None


def test_what_is_no_request_has_no_answer() -> None:
    for wrong in ([], [()], [(b"GET", b"a"), (b"GET", b"b")], TAKE[:-1], [*TAKE[:-1], *ACK]):
        with pytest.raises(ValueError, match=r"command|transaction|queues"):
            refusal("oom", wrong)
    with pytest.raises(KeyError):
        refusal("tired", ACK)


def test_a_command_of_two_words_is_one_name_and_a_key_is_no_second_word() -> None:
    assert name_of((b"script", b"load", b"return")) == "SCRIPT|LOAD"
    assert name_of((b"Get", b"load")) == "GET"
    assert {"SCRIPT|LOAD", "GET"} <= COMMANDS.keys()
