"""RESP2 and RESP3, read as they arrive and kept byte for byte. Pure: no sockets, no clock.

Source: the Redis serialization protocol specification; limits and inline commands as in Redis' `networking.c`,
what a number or a length may look like as in hiredis' `read.c`. Not understood, since nobody sends them: streamed
types (`$?`, `*?`) and quotes in inline commands.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Generic, NamedTuple, TypeAlias, TypeVar, cast

from brownout.wire.redis.resp_value import Value, begin, decoded

BULK_LIMIT = 512 << 20  # bytes or items declared at once (proto-max-bulk-len); bytes of a line of text
LINE_LIMIT = 64 << 10  # bytes of an inline command (PROTO_INLINE_MAX_SIZE), or of any other line
DEPTH_LIMIT = 64

Bytes: TypeAlias = bytes | bytearray
T = TypeVar("T")

_NIL = re.compile(rb"\*-\d{1,9}\r\n")
_LINE = re.compile(
    rb"(?:[+-][^\r\n]*|:(?:0|-?[1-9]\d{0,18})|_|[$*]-1|#[tfTF]|\(-?\d{1,4300}|[!=~>%]-1"
    rb"|,-?(?:(?:\d{1,400}(?:\.\d{0,400})?|\.\d{1,400})(?:[eE][+-]?\d{1,9})?|(?i:inf|nan)))\r\n"
)
_LENGTH = re.compile(rb"0|[1-9]\d{0,8}").fullmatch
_SIZES = {b"%d" % size: size for size in range(4096)}
_COUNTS = {(b"*%d\r\n" % count)[:4]: count for count in range(1, 100)} | {b"*%d" % n: n for n in range(1, 100)}
_new = tuple.__new__  # faster than to call a NamedTuple


class _Heads(dict[int, bytes]):
    """Size of a string to its head."""

    def __missing__(self, size: int) -> bytes:
        return b"$%d" % size


_head_of = _Heads({size: b"$%d" % size for size in range(4096)}).__getitem__


class ProtocolError(ValueError):
    """Bytes that are not RESP, or over a limit. Whoever has fed them still gets every byte, in order:
    `complete`, what came whole before them in the same feed, then `rest`, which is wrong at `offset`.
    """

    def __init__(self, why: str, offset: int, rest: bytes = b"", complete: Sequence[object] = ()) -> None:
        super().__init__(f"{why}: byte {offset} of {rest[: offset + 32]!r}")
        self.why, self.offset, self.rest, self.complete = why, offset, rest, complete


class Command(NamedTuple):
    """What a client sent."""

    argv: tuple[bytes, ...]  # never empty
    raw: bytes  # its bytes, and before them those of empty commands, which Redis skips without a reply


class Reply(NamedTuple):
    """What a server sent."""

    raw: bytes  # its bytes, and before them those of its attributes

    @property
    def value(self) -> Value:
        """As hiredis decodes it (a set is a list), but a big number is an int. Decoded anew each time."""
        return decoded(self.raw, 0)[0]

    @property
    def push(self) -> bool:
        """Out of band: nobody's reply, save SUBSCRIBE's and its like."""
        return self._head(1) == b">"

    @property
    def error(self) -> str | None:
        """The text, `ERR …`, where it is one. Errors inside an array are in its value."""
        if self.raw[0] not in b"-!|":  # most often; |: attributes
            return None
        return str(self.value) if self._head(1) in (b"-", b"!") else None

    @property
    def nil(self) -> bool:
        """Of either protocol."""
        return self._head(1) == b"_" or self._head(3) in (b"$-1", b"*-1")

    def _head(self, size: int) -> bytes:
        at = begin(self.raw, 0)
        return self.raw[at : at + size]


_USUAL = {raw: Reply(raw) for raw in (b"+OK\r\n", b"+PONG\r\n", b":0\r\n", b":1\r\n", b"$-1\r\n", b"*-1\r\n", b"_\r\n")}


def encode(*argv: bytes | str | int) -> bytes:
    """A request."""
    words = [word if isinstance(word, bytes) else str(word).encode() for word in argv]
    return b"".join([b"*%d\r\n" % len(words), *(b"$%d\r\n%b\r\n" % (len(word), word) for word in words)])


def error(text: str) -> bytes:
    """An error reply; the text begins with its code, `LOADING …`. Raises ValueError where it is not one line."""
    if "\r" in text or "\n" in text:
        raise ValueError(f"an error reply is one line, not {text!r}")
    return b"-%b\r\n" % text.encode()


class _Stream(Generic[T]):
    """What is not yet whole is kept, with how far it has been read: nothing is read twice."""

    __slots__ = ("_at", "_need", "_open", "_rest", "_seen", "_wrong")
    _line = _LINE  # what is whole when its line is
    _first = _further = b"+-:_#,($!=*~>%|"  # the types that may stand there

    def __init__(self) -> None:
        self._rest = bytearray()  # begins where a frame begins
        self._at = 0  # where its next token begins
        self._seen = 0  # before here that token's line does not end
        self._need = 0  # bytes there must be before it is worth to read on
        self._open: list[int] = []  # items still to come, of each aggregate
        self._wrong: ProtocolError | None = None  # behind it there is no going on

    @property
    def rest(self) -> bytes:
        """What was fed and is not part of anything returned."""
        return bytes(self._rest)

    def _read(self, fed: bytes, start: int, complete: list[T]) -> list[T]:
        data: Bytes = fed
        if self._rest:
            self._rest += fed
            if self._wrong:
                raise ProtocolError(self._wrong.why, self._wrong.offset, bytes(self._rest))
            if len(self._rest) < self._need:
                return complete
            data = self._rest
        self._at, self._seen = max(self._at, start), max(self._seen, start)
        size = len(data)
        try:
            while start < size and (frame := self._next(data, start)):
                complete.append(frame)
                start = self._at
        except ProtocolError as wrong:
            self._wrong = ProtocolError(wrong.why, wrong.offset - start, bytes(data[start:]), complete)
            raise self._wrong from None
        finally:
            self._at, self._seen, self._need = self._at - start, self._seen - start, self._need - start
            if isinstance(data, bytearray):
                del data[:start]
            else:
                self._rest += data[start:]
        return complete

    def _next(self, data: Bytes, start: int) -> T | None:
        """Read on to the end of what began at `start`; afterwards `_at` is there."""
        raise NotImplementedError

    def _frame(self, data: Bytes) -> bool:
        """Read on to the end of a frame, if it is there."""
        at, seen, need, size, todo = self._at, self._seen, 0, len(data), self._open
        while at < size:
            kind = data[at]
            if kind not in (self._further if todo else self._first):
                raise ProtocolError("no type of RESP that can stand here", at)
            end = data.find(b"\r\n", seen)
            if end < 0:
                if size - at > (BULK_LIMIT if kind in b"+-" else LINE_LIMIT):
                    raise ProtocolError("a line without an end", at)
                seen = max(at, size - 1)
                break
            if self._line.fullmatch(data, at, end + 2):
                at = end + 2
            elif kind in b"$!=":
                count = _length(data, at, end)
                stop = end + 4 + count
                if stop > size:
                    seen, need = end, stop
                    break
                if data[stop - 2 : stop] != b"\r\n":
                    raise ProtocolError("a string does not end where it should", stop - 2)
                if kind == 61 and (count < 4 or data[end + 5] != 58):  # =txt:
                    raise ProtocolError("a verbatim string begins with its format", end + 2)
                at = stop
            elif kind in b"*~>%|":
                count = _length(data, at, end)
                if kind in b"%|":
                    count *= 2
                if kind == 124:  # |: the reply that it precedes is its last item
                    count += 1
                if count and len(todo) == DEPTH_LIMIT:
                    raise ProtocolError("nested too deeply", at)
                at = end + 2
                if count:
                    todo.append(count)
                    seen = at
                    continue
            else:
                raise ProtocolError("no value of its type", at)
            seen = at
            while todo:
                todo[-1] -= 1
                if todo[-1]:
                    break
                todo.pop()
            else:
                self._at = self._seen = at
                return True
        self._at, self._seen, self._need = at, seen, need
        return False


class Requests(_Stream[Command]):
    """What a client sends."""

    __slots__ = ("_skipped",)
    _line, _first, _further = _NIL, b"*", b"$"

    def __init__(self) -> None:
        super().__init__()
        self._skipped = 0  # bytes of empty commands before the one that is being read

    def feed(self, data: bytes) -> list[Command]:
        """The commands that are now complete, in order. Raises ProtocolError."""
        if self._rest or not (count := _COUNTS.get(data[:4])):
            return self._read(data, 0, [])
        parts = data.split(b"\r\n", 2 * count)  # one whole command, most often: do not search its last argument
        last = parts[-1]
        if last[-2:] == b"\r\n":
            parts[-1] = last[:-2]
            argv = parts[2::2]
            if [*map(_head_of, map(len, argv))] == parts[1::2]:
                return [_new(Command, (tuple(argv), data))]
        complete: list[Command] = []
        parts = data.split(b"\r\n")
        begin = start = 0
        while (count := _COUNTS.get(parts[begin])) and (end := begin + 2 * count + 1) < len(parts):
            argv = parts[begin + 2 : end : 2]
            if [*map(_head_of, map(len, argv))] != parts[begin + 1 : end : 2]:
                break
            stop = start + sum(map(len, parts[begin:end])) + 2 * (end - begin)
            complete.append(_new(Command, (tuple(argv), data[start:stop])))
            begin, start = end, stop
        return self._read(data, start, complete)

    def _next(self, data: Bytes, start: int) -> Command | None:
        while (at := self._at) < len(data):
            if not self._open:
                self._skipped = at - start
            if self._open or data[at] == 42:  # *
                if not self._frame(data):
                    return None
                frame = bytes(data[start + self._skipped : self._at])
                argv = [] if frame[1] == 45 else cast("list[bytes]", decoded(frame, 0)[0])
            else:
                end = data.find(b"\n", self._seen)
                if (len(data) if end < 0 else end) - at > LINE_LIMIT:
                    raise ProtocolError("too long an inline command", at)
                if end < 0:
                    self._seen, self._need = len(data), 0
                    return None
                argv = bytes(data[at:end]).split()
                if b'"' in data[at:end] or b"'" in data[at:end]:
                    raise ProtocolError("an inline command with quotes", at)
                self._at = self._seen = end + 1
            if argv:
                return _new(Command, (tuple(argv), bytes(data[start : self._at])))
        return None


class Replies(_Stream[Reply]):
    """What a server sends."""

    __slots__ = ()

    def feed(self, data: bytes) -> list[Reply]:
        """The replies that are now complete, pushed ones included, in order. Raises ProtocolError."""
        if not self._rest:
            if len(data) < 8 and data in _USUAL:
                return [_USUAL[data]]
            if _LINE.fullmatch(data):
                return [_new(Reply, (data,))]
        return self._read(data, 0, [])

    def _next(self, data: Bytes, start: int) -> Reply | None:
        return _new(Reply, (bytes(data[start : self._at]),)) if self._frame(data) else None


def _length(data: Bytes, at: int, end: int) -> int:
    digits = bytes(data[at + 1 : end])
    if digits in _SIZES:
        return _SIZES[digits]
    if not _LENGTH(digits) or int(digits) > BULK_LIMIT:
        raise ProtocolError("no length, or one over the limit", at)
    return int(digits)
