"""A connection's requests and their replies: names, pairing, what comes of itself, and answers of ours."""

from collections.abc import Iterable, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from brownout.history.layout import Layout
from brownout.wire.redis.conversation import Answer, Conversation, Request, name, pattern
from brownout.wire.redis.resp import ProtocolError, encode, error

ID, OTHER = "0b5ee9b1-7c4c-4d2b-9f0e-2f8a2f3a9a11", "11111111-2222-3333-4444-555555555555"
OK, NIL2, NIL3 = b"+OK\r\n", b"*-1\r\n", b"_\r\n"
POPPED = b"*2\r\n$6\r\ncelery\r\n$1\r\nm\r\n"
ACK = ["MULTI", "ZREM unacked_index tag", "HDEL unacked tag", "EXEC"]


def said(line: str) -> bytes:
    return encode(*line.split())


def ask(talk: Conversation, *lines: str) -> list[Request]:
    """Send them all, as a client that pipelines."""
    requests = talk.requests(b"".join(map(said, lines)))
    for request in requests:
        talk.sent(request)
    return requests


def published(kind: str, *parts: str, resp3: bool) -> bytes:
    words = encode(kind, *parts)
    return b">" + words[1:] if resp3 else words


def confirmed(kind: str, channel: str, count: int, *, resp3: bool) -> bytes:
    mark = ">" if resp3 else "*"
    return f"{mark}3\r\n${len(kind)}\r\n{kind}\r\n${len(channel)}\r\n{channel}\r\n:{count}\r\n".encode()


def labels(answers: Iterable[Answer]) -> list[str]:
    return [answer.label for answer in answers]


# --- names


@pytest.mark.parametrize(
    ("command", "label"),
    [
        ("LPUSH celery m", "LPUSH celery"),
        ("lpush celery m", "LPUSH celery"),
        ("LPUSH celery\x06\x163 m", "LPUSH celery"),
        (f"GET celery-task-meta-{ID}", "GET celery-task-meta-<id>"),
        (f"SET {ID}.{OTHER} v", "SET <id>.<id>"),
        ("SADD _kombu.binding.celery v", "SADD _kombu.binding.celery"),
        (f"LPUSH {ID}.reply.celery.pidbox m", "LPUSH <id>.reply.celery.pidbox"),
        ("SUBSCRIBE worker-1@host.celery.pidbox", "SUBSCRIBE <node>.celery.pidbox"),
        ("PUBLISH /0.celery.pidbox m", "PUBLISH /0.celery.pidbox"),
        ("WATCH unacked other", "WATCH unacked"),
        ("BRPOP celery celery\x06\x163 celery\x06\x166 celery\x06\x169 1", "BRPOP celery"),
        ("BRPOP mail celery\x06\x169 mail\x06\x163 celery 1", "BRPOP celery,mail"),
        ("BLPOP celery 0", "BLPOP celery"),
        (f"BRPOP {ID}.reply.celery.pidbox 1", "BRPOP <id>.reply.celery.pidbox"),
        ("EVALSHA c74b 1 unacked_mutex token", "EVALSHA"),
        ("UNWATCH", "UNWATCH"),
        ("UNSUBSCRIBE", "UNSUBSCRIBE"),
        ("SELECT 1", "SELECT"),
        ("AUTH user secret", "AUTH"),
        ("HELLO 3 AUTH user secret", "HELLO 3"),
        ("CLIENT setinfo LIB-NAME redis-py", "CLIENT SETINFO"),
        ("SCRIPT LOAD return", "SCRIPT LOAD"),
        ("CLIENT", "CLIENT"),
    ],
)
def test_a_command_is_named_by_what_does_not_change(command: str, label: str) -> None:
    assert name(tuple(word.encode() for word in command.split())) == label


def test_a_key_that_is_not_text_has_a_name_too() -> None:
    assert pattern(b"\xff\x06\x169") == "\\xff"
    assert pattern(b"\x06\x16") == "\x06\x16"  # no step follows


@settings(max_examples=20)
@given(st.permutations([b"celery", b"celery\x06\x163", b"mail", b"mail\x06\x169", b"fast", b"slow"]))
def test_kombu_rotates_the_queues_of_a_brpop_and_not_its_name(queues: list[bytes]) -> None:
    assert name((b"BRPOP", *queues, b"1")) == "BRPOP celery,fast,mail,slow"


def test_an_application_s_own_keys_have_the_names_of_kombu_s() -> None:
    layout = Layout("shop:", ":", (0, 1, 2, 3), unacked="open")
    lines = ["LPUSH shop:celery:2 x", "BRPOP shop:mail:3 shop:celery shop:celery:1 1", "HELLO shop:celery"]
    lines += ["MULTI", "ZADD shop:unacked_index 1 t", "HSET shop:open t m", "EXEC", "SUBSCRIBE shop:a.reply"]
    assert [request.label for request in ask(Conversation(layout.plain), *lines)] == [
        *("LPUSH celery", "BRPOP celery,mail", "HELLO SHOP:CELERY"),
        *("ZADD unacked_index;HSET unacked", "SUBSCRIBE a.reply"),
    ]


def test_a_transaction_is_one_request() -> None:
    talk = Conversation()
    (request,) = ask(talk, *ACK)

    assert (request.label, request.expected, request.verb) == ("ZREM unacked_index;HDEL unacked", 4, b"MULTI")
    assert request.raw == b"".join(map(said, ACK))
    replies = [OK, b"+QUEUED\r\n", b"+QUEUED\r\n", b"*2\r\n:1\r\n:1\r\n"]
    assert talk.answers(b"".join(replies[:3])) == []
    (answer,) = talk.answers(replies[3])
    assert (answer.raw, answer.request, answer.label) == (b"".join(replies), request, request.label)


@pytest.mark.parametrize(
    ("lines", "label", "count"),
    [
        (["MULTI", "EXEC"], "MULTI", 2),
        (["MULTI", "SET a 1", "DISCARD"], "SET a", 3),
        (["multi", "SET a 1", "exec"], "SET a", 3),
    ],
)
def test_a_transaction_ends_by_either_word(lines: list[str], label: str, count: int) -> None:
    (request,) = ask(Conversation(), *lines)
    assert (request.label, request.expected) == (label, count)


def test_a_name_is_the_same_when_it_is_asked_for_again_and_when_its_key_is_long() -> None:
    for key in ("short", "long" * 500):
        assert {name((verb, key.encode(), b"v")) for verb in (b"SET", b"set") for _ in range(3)} == {f"SET {key}"}


def test_the_reply_to_a_request_comes_once_though_a_list_of_usual_ones_is_kept() -> None:
    talk = Conversation()
    first, second = ask(talk, "SET a 1", "SET b 1")
    for request in (first, second):
        talk.answers(OK)
        assert [reply.raw for reply in request.replies] == [OK]


def test_half_a_transaction_is_no_request_yet() -> None:
    talk = Conversation()
    assert talk.requests(b"".join(map(said, ACK[:3]))) == []
    (request, after) = talk.requests(said("EXEC") + said("PING"))
    assert (request.raw, after.label) == (b"".join(map(said, ACK)), "PING")


# --- replies


def test_replies_belong_to_requests_in_order() -> None:
    talk = Conversation()
    get, ack, pop = ask(talk, "GET a", *ACK, "BRPOP celery 1")
    found = talk.answers(b"$1\r\nx\r\n" + OK + b"+QUEUED\r\n-ERR no\r\n-EXECABORT gone\r\n" + POPPED)

    assert [answer.request for answer in found] == [get, ack, pop]
    assert (get.error, ack.error, ack.answer) == (None, "ERR no", OK + b"+QUEUED\r\n-ERR no\r\n-EXECABORT gone\r\n")
    assert (get.blocking, pop.blocking, ack.blocking) == (False, True, False)
    assert not talk.pending


@pytest.mark.parametrize(
    ("reply", "delivered"), [(POPPED, True), (NIL2, False), (NIL3, False), (b"-LOADING\r\n", False)]
)
def test_a_brpop_delivers_or_does_not(reply: bytes, delivered: bool) -> None:
    talk = Conversation()
    (request,) = ask(talk, "BRPOP celery 1")
    assert not request.delivered
    talk.answers(reply)
    assert request.delivered is delivered


def test_a_command_of_nothing_is_no_request_and_its_bytes_are_kept() -> None:
    talk = Conversation()
    assert talk.requests(b"*0\r\n\r\n") == []
    assert [request.raw for request in talk.requests(b"PING\r\n")] == [b"*0\r\n\r\nPING\r\n"]


def test_what_nobody_asked_for_answers_nothing() -> None:
    (answer,) = Conversation().answers(error("ERR max number of clients reached"))
    assert (answer.request, answer.label) == (None, "PUSH")


# --- what comes of itself


@pytest.mark.parametrize(
    ("kind", "parts", "label"),
    [
        ("message", (f"celery-task-meta-{ID}", "{}"), "PUSH celery-task-meta-<id>"),
        ("pmessage", ("/0.celeryev/*", "/0.celeryev/worker.heartbeat", "{}"), "PUSH /0.celeryev/*"),
        ("smessage", ("shard", "{}"), "PUSH shard"),
    ],
)
@pytest.mark.parametrize("resp3", [True, False], ids=["resp3", "resp2"])
def test_published_messages_come_between_replies(kind: str, parts: tuple[str, ...], label: str, resp3: bool) -> None:
    talk, message = Conversation(), published(kind, *parts, resp3=resp3)
    subscribe, ping = ask(talk, "SUBSCRIBE one", "PING")
    pong = b"+PONG\r\n" if resp3 else b"*2\r\n$4\r\npong\r\n$0\r\n\r\n"
    found = talk.answers(confirmed("subscribe", "one", 1, resp3=resp3) + message + pong + message)

    assert [answer.request for answer in found] == [subscribe, None, ping, None]
    assert labels(found) == ["SUBSCRIBE one", label, "PING", label]
    assert found[1].raw == message


def test_a_push_before_the_reply_is_not_the_reply() -> None:
    talk = Conversation()
    (request,) = ask(talk, "GET a")
    first, second = talk.answers(b">2\r\n$10\r\ninvalidate\r\n*1\r\n$1\r\na\r\n" + b"$1\r\nx\r\n")
    assert (first.request, first.label, second.request) == (None, "PUSH", request)


def test_a_push_of_another_kind_does_not_confirm_a_subscription() -> None:
    talk = Conversation()
    (request,) = ask(talk, "SUBSCRIBE one")
    found = talk.answers(b">2\r\n$10\r\ninvalidate\r\n_\r\n" + confirmed("subscribe", "one", 1, resp3=True))
    assert [answer.request for answer in found] == [None, request]


@pytest.mark.parametrize("resp3", [True, False], ids=["resp3", "resp2"])
def test_a_subscription_is_confirmed_once_a_channel(resp3: bool) -> None:
    talk = Conversation()
    two, get = ask(talk, "SUBSCRIBE one two", "PING")
    assert two.expected == 2
    assert talk.answers(confirmed("subscribe", "one", 1, resp3=resp3)) == []
    assert [answer.request for answer in talk.answers(confirmed("subscribe", "two", 2, resp3=resp3))] == [two]
    assert [answer.request for answer in talk.answers(b"+PONG\r\n")] == [get]


@pytest.mark.parametrize("verb", ["SUBSCRIBE", "psubscribe", "SSUBSCRIBE", "UNSUBSCRIBE", "PUNSUBSCRIBE"])
def test_a_subscription_is_refused_once(verb: str) -> None:
    talk = Conversation()
    refused, ping = ask(talk, f"{verb} one two three", "PING")
    found = talk.answers(error("NOAUTH Authentication required.") + error("NOAUTH Authentication required."))
    assert [answer.request for answer in found] == [refused, ping]


@pytest.mark.parametrize("resp3", [True, False], ids=["resp3", "resp2"])
def test_the_end_of_all_subscriptions_is_confirmed_as_often_as_there_were(resp3: bool) -> None:
    talk = Conversation()
    both, none, get = ask(talk, "SUBSCRIBE one two", "UNSUBSCRIBE", "LRANGE a 0 -1")
    stream = [confirmed("subscribe", "one", 1, resp3=resp3), confirmed("subscribe", "two", 2, resp3=resp3)]
    stream += [confirmed("unsubscribe", "one", 1, resp3=resp3), confirmed("unsubscribe", "two", 0, resp3=resp3)]
    # A list that looks like a message is one, once nobody is subscribed.
    found = talk.answers(b"".join(stream) + encode("message", "a", "b"))

    assert [answer.request for answer in found] == [both, none, None, get]


def test_a_list_is_no_message_where_nobody_has_subscribed() -> None:
    talk = Conversation()
    first, second = ask(talk, "LRANGE a 0 -1", "HVALS b")
    found = talk.answers(encode("message", "a", "b") + encode("subscribe", "a"))
    assert [answer.request for answer in found] == [first, second]


def test_in_resp3_a_subscriber_s_list_is_no_message_either() -> None:
    talk = Conversation()
    subscribe, lrange = ask(talk, "SUBSCRIBE one", "LRANGE a 0 -1")
    found = talk.answers(confirmed("subscribe", "one", 1, resp3=True) + encode("message", "a", "b"))
    assert [answer.request for answer in found] == [subscribe, lrange]


# --- answers of ours


def test_an_answer_of_ours_waits_for_its_turn() -> None:
    talk = Conversation()
    first, second, third, fourth = talk.requests(b"".join(said(f"GET {key}") for key in "abcd"))
    second.canned, third.canned = error("LOADING x"), error("OOM y")
    for request in (first, second, third, fourth):
        talk.sent(request)

    assert talk.canned_answers() == []
    found = talk.answers(b"$1\r\n1\r\n")
    assert [(answer.request, answer.raw) for answer in found] == [
        (first, b"$1\r\n1\r\n"),
        (second, b"-LOADING x\r\n"),
        (third, b"-OOM y\r\n"),
    ]
    assert [answer.request for answer in talk.answers(b"$1\r\n4\r\n")] == [fourth]
    assert talk.canned_answers() == []


def test_with_nothing_before_it_the_turn_of_ours_is_now() -> None:
    talk = Conversation()
    (request,) = talk.requests(said("BRPOP celery 1"))
    request.canned = error("LOADING x")
    talk.sent(request)
    assert [answer.raw for answer in talk.canned_answers()] == [b"-LOADING x\r\n"]
    assert (request.delivered, len(talk.pending)) == (False, 0)


@pytest.mark.parametrize("side", ["requests", "answers"])
def test_what_is_not_resp_is_told(side: str) -> None:
    talk = Conversation()
    ask(talk, "PING")
    with pytest.raises(ProtocolError):
        getattr(talk, side)(b"*x\r\n")


# --- any split

LINES = [
    "GET a",
    "LPUSH celery m",
    "SUBSCRIBE one two",
    "UNSUBSCRIBE one",
    "BRPOP celery mail 1",
    "PING",
    "MULTI",
    "HELLO 3",
]
REPLIES = {
    "GET": b"$2\r\n\r\n\r\n",
    "LPUSH": b":1\r\n",
    "PING": b"+PONG\r\n",
    "BRPOP": POPPED,
    "HELLO": b"%1\r\n+a\r\n:3\r\n",
}
SPLITS = st.lists(st.floats(0, 1), max_size=8)


def pieces(data: bytes, cuts: Sequence[float]) -> list[bytes]:
    places = sorted(round(cut * len(data)) for cut in cuts)
    return [data[a:b] for a, b in zip([0, *places], [*places, len(data)], strict=True)]


def answered(line: str) -> bytes:
    verb, _, rest = line.partition(" ")
    if verb == "MULTI":
        return OK + b"+QUEUED\r\n+QUEUED\r\n*2\r\n:1\r\n:1\r\n"
    if verb in ("SUBSCRIBE", "UNSUBSCRIBE"):
        return b"".join(confirmed(verb.lower(), channel, 1, resp3=True) for channel in rest.split())
    return REPLIES[verb]


@settings(max_examples=40)
@given(st.lists(st.tuples(st.sampled_from(LINES), st.booleans()), max_size=8), SPLITS, SPLITS)
def test_any_split_of_both_streams_gives_the_same(
    recorded: list[tuple[str, bool]], up: list[float], down: list[float]
) -> None:
    sent = [b"".join(map(said, ACK)) if line == "MULTI" else said(line) for line, _ in recorded]
    push = published("message", "one", "{}", resp3=True)
    came = [push * pushed + answered(line) for line, pushed in recorded]

    talk = Conversation()
    requests = [request for piece in pieces(b"".join(sent), up) for request in talk.requests(piece)]
    for request in requests:
        talk.sent(request)
    answers = [answer for piece in pieces(b"".join(came), down) for answer in talk.answers(piece)]

    assert [request.raw for request in requests] == sent
    assert [answer.request for answer in answers if answer.request] == requests
    assert b"".join(answer.raw for answer in answers) == b"".join(came)
    assert labels(answer for answer in answers if not answer.request) == ["PUSH one"] * sum(
        pushed for _, pushed in recorded
    )
