"""Streams of RESP for tests: in pieces, damaged, and what a reader makes of them."""

from collections.abc import Sequence
from typing import Any

from hypothesis import strategies as st

from brownout.wire.redis.resp import ProtocolError, Replies, Requests

words = (
    st.binary(max_size=24)
    | st.text(st.characters(codec="utf-8"), max_size=8)
    | st.integers()
    | st.sampled_from([b"\r\n", b"$1\r\n", b"*1\r\n"])
)
requests = st.lists(words, min_size=1, max_size=5)
cuts = st.lists(st.floats(0, 1), max_size=6)


def pieces(data: bytes, cuts: Sequence[float]) -> list[bytes]:
    places = sorted(round(cut * len(data)) for cut in cuts)
    return [data[a:b] for a, b in zip([0, *places], [*places, len(data)], strict=True)]


def shown(sent: bytes) -> str:
    return f"{sent[:16]!r}:{len(sent)}"


def read(stream: Requests | Replies, fed: Sequence[bytes]) -> tuple[list[Any], ProtocolError | None]:
    """What comes of it. At each step every byte that was fed is somewhere, in order."""
    done: list[Any] = []
    for place, piece in enumerate(fed, 1):
        wrong = None
        try:
            done += stream.feed(piece)
        except ProtocolError as raised:
            wrong = raised
            done += wrong.complete
        rest = wrong.rest if wrong else stream.rest
        assert b"".join([*(frame.raw for frame in done), rest]) == b"".join(fed[:place])
        if wrong:
            assert 0 <= wrong.offset < len(rest)
            return done, wrong
    return done, None


SCRAPS = [b"", b"\r\n", *(b"%c" % byte for byte in b"\r\n\0:$*-+,=~_x0123456789")]


@st.composite
def damage(draw: st.DrawFn, sent: bytes) -> bytes:
    for _ in range(draw(st.integers(1, 2))):
        place = draw(st.integers(0, len(sent)))
        sent = sent[:place] + draw(st.sampled_from(SCRAPS)) + sent[place + draw(st.integers(0, 2)) :]
    return sent
