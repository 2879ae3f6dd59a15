"""What a client sends in RESP, against redis-py's encoders."""

from collections.abc import Callable, Sequence

import hiredis
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from redis._parsers.encoders import Encoder
from redis.connection import PythonRespSerializer

from brownout.wire.redis.resp import Command, Requests, encode
from tests.unit.resp_streams import cuts, damage, pieces, read, requests, shown

SERIALIZER = PythonRespSerializer(6000, Encoder("utf-8", "strict", False).encode)  # type: ignore[no-untyped-call]  # untyped there
Argv = Sequence[bytes | str | int]
PACKERS: dict[str, Callable[[Argv], bytes]] = {
    "hiredis": lambda argv: hiredis.pack_command(tuple(argv)),  # type: ignore[arg-type]  # says: of one item
    "redis-py": lambda argv: b"".join(SERIALIZER.pack(*argv)),  # type: ignore[no-untyped-call]  # untyped there
}


@pytest.mark.parametrize("pack", PACKERS.values(), ids=PACKERS)
@given(argv=requests)
@settings(max_examples=40)
def test_a_request_is_encoded_as_redis_py_does(pack: Callable[[Argv], bytes], argv: Argv) -> None:
    assert encode("SET", *argv) == pack(["SET", *argv])


@given(pipeline=st.lists(requests, min_size=1, max_size=5), cuts=cuts)
def test_a_pipeline_is_read_at_any_split(pipeline: list[Argv], cuts: list[float]) -> None:
    raws = [encode(*argv) for argv in pipeline]
    argvs = [tuple(word if isinstance(word, bytes) else str(word).encode() for word in argv) for argv in pipeline]
    stream = Requests()
    commands, wrong = read(stream, pieces(b"".join(raws), cuts))
    assert commands == [Command(argv, raw) for argv, raw in zip(argvs, raws, strict=True)]
    assert not wrong
    assert not stream.rest


def test_every_split_of_one_and_of_two_requests() -> None:
    argvs = [(b"SET", b"", b""), (b"GET", b"\r\n$1\r\n")]
    for some in (argvs[:1], argvs):
        raw = b"".join(encode(*argv) for argv in some)
        for place in range(len(raw)):
            assert [command.argv for command in read(Requests(), [raw[:place], raw[place:]])[0]] == some


@pytest.mark.parametrize("size", [4095, 4096, 9000])
def test_a_big_argument_and_many_arguments(size: int) -> None:
    for argv in ([b"SET", b"k", b"x" * size], [b"DEL", *[b"k"] * size]):
        raw = encode(*argv)
        for fed in ([raw], pieces(raw, [0.1, 0.5, 0.9999])):
            assert read(Requests(), fed)[0] == [Command(tuple(argv), raw)]


@given(cuts=cuts)
def test_inline_and_empty_commands(cuts: list[float]) -> None:
    sent = b"PING\r\n\r\n*0\r\n \n*-1\r\n*1\r\n$4\r\nPING\r\n  get  a \n\r\nQUIT\n\r\n"
    commands, wrong = read(Requests(), pieces(sent, cuts))
    assert [command.argv for command in commands] == [(b"PING",), (b"PING",), (b"get", b"a"), (b"QUIT",)]
    assert commands[1].raw.startswith(b"\r\n*0\r\n")  # what Redis skips goes with what it answers
    assert not wrong


@pytest.mark.parametrize(
    "sent",
    [
        b"*1\n:1\n", b"*1\n*1\n$1\na\n", b"*1\n$-1\n", b"*x\n", b"*?\n", b"*01\n$1\na\n", b"*1\n$+1\na\n",
        b"*1\n$01\na\n", b"*1\n$1\nab\n", b"*1\n$2\nabcd", b"*1\n$ 1\na\n", b"*1\n$1_0\n", b"*1\n$536870913\n",
        b"*536870913\n", b"*1\n$9999999999\n", b"GET 'a b'\n", b'GET "a"\n', b"a" * 65537, b"a" * 65537 + b"\n",
        b"*" + b"1" * 65537,
    ],
    ids=shown,
)  # fmt: skip
def test_a_request_that_is_none(sent: bytes) -> None:
    good = encode("PING")
    sent = good + sent.replace(b"\n", b"\r\n")
    for fed in ([sent], pieces(sent, [n / 40 for n in range(40)])):
        commands, wrong = read(Requests(), fed)
        assert [command.raw for command in commands] == [good]
        assert wrong is not None


some_requests = st.lists(requests.map(lambda argv: encode(*argv)) | st.sampled_from([b"PING\r\n", b"\n"]), max_size=3)


@given(sent=some_requests, data=st.data())
def test_a_damaged_request_is_refused_or_means_what_it_says(sent: list[bytes], data: st.DataObject) -> None:
    damaged = data.draw(damage(b"".join(sent)))
    commands, wrong = read(Requests(), [damaged])
    for argv, raw in commands:
        assert raw.endswith(encode(*argv)) or tuple(raw.split())[-len(argv) :] == argv
    again, also_wrong = read(Requests(), pieces(damaged, data.draw(cuts)))
    assert (again, bool(also_wrong)) == (commands, bool(wrong))
