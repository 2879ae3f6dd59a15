"""What a server sends in RESP, against hiredis' reader."""

import re
import sys
from collections.abc import Sequence
from itertools import chain

import hiredis
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from brownout.wire.redis.resp import ProtocolError, Replies, Requests, encode, error
from brownout.wire.redis.resp_value import Failure
from tests.unit.resp_streams import cuts, damage, pieces, read, shown

# Each reply as (as it is sent, the same without what hiredis does not know: attributes and blob errors).

Sent = tuple[bytes, bytes]
texts = st.binary(max_size=8).map(lambda text: b"".join(text.split()))


def both(raw: bytes) -> Sent:
    return raw, raw


def bulk(kind: bytes, body: bytes) -> bytes:
    return b"%b%d\r\n%b\r\n" % (kind, len(body), body)


keys = st.one_of(
    texts.map(lambda text: both(b"+%b\r\n" % text)),
    st.integers(-(10**15), 10**15).map(lambda number: both(b":%d\r\n" % number)),
    st.binary(max_size=12).map(lambda body: both(bulk(b"$", body))),
    st.sampled_from([b"_", b"$-1", b"*-1", b"#t", b"#f", b",nan", b",-inf", b",-1.5"]).map(
        lambda line: both(line + b"\r\n")
    ),
    st.binary(max_size=12).map(lambda body: both(bulk(b"=", b"txt:" + body))),
)
flat = keys | texts.map(lambda text: both(b"-%b\r\n" % text))
newer = st.one_of(
    st.floats(allow_nan=False).map(lambda number: both(b",%b\r\n" % repr(number).encode())),
    texts.map(lambda text: (bulk(b"!", text), b"-%b\r\n" % text)),
    st.integers(-(2**62), 2**62).map(lambda number: (b"(%d\r\n" % number, b":%d\r\n" % number)),
)


def aggregate(kind: bytes, items: Sequence[Sent], count: int) -> Sent:
    head = b"%b%d\r\n" % (kind, count)
    return head + b"".join(item[0] for item in items), head + b"".join(item[1] for item in items)


def arrays(items: st.SearchStrategy[Sent], kinds: Sequence[bytes] = (b"*", b"~")) -> st.SearchStrategy[Sent]:
    lists = st.lists(items, max_size=4)
    return st.builds(lambda kind, some: aggregate(kind, some, len(some)), st.sampled_from(kinds), lists)


def nested(items: st.SearchStrategy[Sent]) -> st.SearchStrategy[Sent]:
    pairs = st.lists(st.tuples(keys, items), max_size=2)
    maps, notes = (
        pairs.map(lambda some, kind=kind: aggregate(kind, [*chain(*some)], len(some)))  # type: ignore[misc]  # bound now
        for kind in (b"%", b"|")
    )
    noted = st.builds(lambda note, item: (note[0] + item[0], item[1]), notes, items)
    return arrays(items) | maps | noted


replies = st.recursive(flat | newer, nested, max_leaves=6)
streams = st.lists(replies | arrays(flat, [b">"]), min_size=1, max_size=4)


def plain(value: object) -> object:
    """Comparable by its repr, so that 1 is not True."""
    match value:
        case hiredis.ReplyError():
            return Failure(str(value))
        case list():
            return [plain(item) for item in value]
        case dict():
            return {key: plain(item) for key, item in value.items()}
    return value


def by_hiredis(sent: bytes) -> tuple[list[object], Exception | None]:
    reader = hiredis.Reader(protocolError=hiredis.ProtocolError, notEnoughData=NotImplemented)
    values: list[object] = []
    try:
        reader.feed(sent)
        while (value := reader.gets()) is not NotImplemented:  # False would be a value, too
            values.append(value)
    except hiredis.ProtocolError as wrong:
        return values, wrong
    return values, None


@given(stream=streams, cuts=cuts)
def test_replies_are_read_as_by_hiredis_at_any_split(stream: list[Sent], cuts: list[float]) -> None:
    got, wrong = read(Replies(), pieces(b"".join(raw for raw, _ in stream), cuts))
    assert [reply.raw for reply in got] == [raw for raw, _ in stream]
    values, _ = by_hiredis(b"".join(known for _, known in stream))
    assert repr([reply.value for reply in got]) == repr(plain(values))
    assert [reply.push for reply in got] == [isinstance(value, hiredis.PushNotification) for value in values]
    assert [reply.nil for reply in got] == [value is None for value in values]
    assert [reply.error for reply in got] == [str(v) if isinstance(v, hiredis.ReplyError) else None for v in values]
    assert not wrong


@given(stream=st.lists(st.recursive(flat, arrays, max_leaves=4), min_size=1, max_size=3), data=st.data())
def test_a_damaged_reply_is_refused_or_read_as_by_hiredis(stream: list[Sent], data: st.DataObject) -> None:
    damaged = data.draw(damage(b"".join(raw for raw, _ in stream)))
    values, failed = by_hiredis(damaged)
    got, wrong = read(Replies(), [damaged])
    assert repr([reply.value for reply in got]) == repr(plain(values[: len(got)]))
    assert wrong or (not failed and len(got) == len(values))
    again, also_wrong = read(Replies(), pieces(damaged, data.draw(cuts)))
    assert (again, bool(also_wrong)) == (got, bool(wrong))


@pytest.mark.parametrize(
    ("raw", "value"),
    [
        (b"(-1234567890123456789012345678901234567890\r\n", -1234567890123456789012345678901234567890),
        (b",1E5\r\n", 100000.0),
        (b"#T\r\n", True),
        (b"=8\r\nmkd:*a*\n\r\n", b"*a*\n"),
        (b"!7\r\nERR a\r\n\r\n", Failure("ERR a\r\n")),
        (b"%1\r\n*1\r\n:1\r\n:2\r\n", [[[1], 2]]),  # hiredis: TypeError
        (b"|1\r\n+ttl\r\n:9\r\n|0\r\n*2\r\n:1\r\n|1\r\n+a\r\n~1\r\n_\r\n:2\r\n", [1, 2]),
        (b"*2\r\n-ERR \xff\r\n*-1\r\n", [Failure("ERR \ufffd"), None]),
        (b"*1\r\n" * 64 + b":1\r\n", None),
    ],
)
def test_what_hiredis_does_not_know(raw: bytes, value: object) -> None:
    for fed in ([raw], pieces(raw, [0.3, 0.9]), [b"%c" % byte for byte in raw]):
        (reply,), wrong = read(Replies(), fed)
        assert reply.raw == raw
        assert value is None or repr(reply.value) == repr(value)
        assert reply.error == (value if isinstance(value, Failure) else None)
        assert not wrong


def test_attributes_belong_to_the_reply_behind_them() -> None:
    note = b"|1\r\n+a\r\n-b\r\n"
    sent = [note + b"-ERR c\r\n", note + b">1\r\n+d\r\n", note * 2 + b"_\r\n", note + b"$-1\r\n", b":1\r\n"]
    got, _ = read(Replies(), [b"".join(sent) + note])  # the last one has nothing behind it yet
    assert [reply.raw for reply in got] == sent
    assert [reply.error for reply in got] == ["ERR c", None, None, None, None]
    assert [reply.push for reply in got] == [False, True, False, False, False]
    assert [reply.nil for reply in got] == [False, False, True, True, False]


@given(cuts=cuts)
@settings(max_examples=30)
def test_a_transaction_that_fails_and_a_push_within_it(cuts: list[float]) -> None:
    sent = [
        b"+OK\r\n", b"-ERR unknown command\r\n", b">2\r\n$10\r\ninvalidate\r\n_\r\n", b"+QUEUED\r\n",
        b"-EXECABORT Transaction discarded\r\n", b"*2\r\n-WRONGTYPE a\r\n:1\r\n", b"*-1\r\n", b"_\r\n",
    ]  # fmt: skip
    got, _ = read(Replies(), pieces(b"".join(sent), cuts))
    assert [reply.raw for reply in got] == sent
    assert [place for place, reply in enumerate(got) if reply.push] == [2]
    assert [place for place, reply in enumerate(got) if reply.nil] == [6, 7]
    errors = {place: reply.error for place, reply in enumerate(got) if reply.error}
    assert errors == {1: "ERR unknown command", 4: "EXECABORT Transaction discarded"}
    assert got[5].value == [Failure("WRONGTYPE a"), 1]
    assert isinstance(got[5].value[0], Failure)


@pytest.mark.parametrize(
    "sent",
    [
        b"HTTP/1.1 400 Bad Request\n", b"\n", b":\n", b":1_0\n", b":+1\n", b": 1\n", b":" + b"1" * 20 + b"\n", b"_0\n",
        b"#x\n", b",1_0\n", b",\n", b",1e\n", b"(\n", b"(1.0\n", b"(" + b"1" * 4301 + b"\n", b"(" + b"1" * 70000,
        b"$?\n", b"*?\n", b"$-2\n", b"|-1\n", b"$01\na\n", b"$1\nab\n", b"=3\ntxt\n", b"=4\ntext\n", b"+a\rb\n",
        b"$536870913\n", b"*536870913\n", b"*1\n" * 65, b"|0\n" * 65, b"*2\n:1\n?\n",
    ],
    ids=shown,
)  # fmt: skip
def test_a_reply_that_is_none(sent: bytes) -> None:
    sent = b"+OK\r\n" + sent.replace(b"\n", b"\r\n")
    for fed in ([sent], pieces(sent, [n / 40 for n in range(40)])):
        stream = Replies()
        got, wrong = read(stream, fed)
        assert [reply.raw for reply in got] == [b"+OK\r\n"]
        assert wrong is not None
        assert repr(wrong.rest[: wrong.offset + 32]) in str(wrong)
        with pytest.raises(ProtocolError, match=re.escape(wrong.why)) as again:  # there is no going on
            stream.feed(b"+OK\r\n")
        assert again.value.rest == wrong.rest + b"+OK\r\n"


@pytest.mark.parametrize(
    "sent", [b"$536870912\r\nab", b"*536870912\r\n:1\r\n", b"*1\r\n" * 64, b"+" + b"a" * 70000], ids=shown
)
def test_what_is_just_within_the_limits_is_waited_for(sent: bytes) -> None:
    assert read(Replies(), [sent]) == ([], None)


def searches(stream: Requests | Replies, sent: bytes, size: int) -> int:
    """How often the end of a line was looked for, when it came in pieces of that size."""
    found: list[str] = []
    was = sys.getprofile()
    sys.setprofile(lambda _, event, called: found.append(called.__name__) if event == "c_call" else None)
    try:
        frames = [frame for at in range(0, len(sent), size) for frame in stream.feed(sent[at : at + size])]
    finally:
        sys.setprofile(was)
    assert [frame.raw for frame in frames] == [sent]
    return found.count("find")


def test_nothing_is_read_twice() -> None:
    big = b"x" * (1 << 20)
    assert searches(Requests(), encode("SET", "k", big), 1 << 16) <= 8
    assert searches(Replies(), bulk(b"$", big), 1 << 16) <= 4
    many = b"*2000\r\n" + b":1\r\n" * 2000
    assert searches(Replies(), many, 7) <= 2001 + len(many) / 7
    line = Replies()
    line.feed(b"+" + big)
    assert line._seen == len(big)  # nothing but time would show it


def test_an_error_reply_is_one_line() -> None:
    (reply,) = Replies().feed(error("LOADING Redis is loading the dataset in memory"))
    assert reply.error == "LOADING Redis is loading the dataset in memory"
    with pytest.raises(ValueError, match="one line"):
        error("ERR a\r\n+OK")
