"""Parsers for RESP2 and RESP3 that keep all bytes unchanged. The module uses no sockets and no clock.

The parsers follow the specification of the Redis serialization protocol. Limits and inline commands are as in
`networking.c` of Redis, the forms of numbers and lengths as in `read.c` of hiredis. Streamed types (`$?`, `*?`) and
quotes in inline commands are errors, because no client or server sends them.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Generic, NamedTuple, TypeAlias, TypeVar, cast

from brownout.wire.redis.resp_value import Value, begin, decoded

BULK_LIMIT = 512 << 20  # The limit for bytes of a string and for items of an array (proto-max-bulk-len).
LINE_LIMIT = 64 << 10  # The limit for the bytes of an inline command (PROTO_INLINE_MAX_SIZE) or of any other line.
DEPTH_LIMIT = 64  # The limit for the levels of nested arrays and maps.

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
_new = tuple.__new__  # `tuple.__new__` is faster than a call of the NamedTuple's class


class _Heads(dict[int, bytes]):
    """Maps the size of a string to the header line that comes before the string."""

    def __missing__(self, size: int) -> bytes:
        return b"$%d" % size


_head_of = _Heads({size: b"$%d" % size for size in range(4096)}).__getitem__


class ProtocolError(ValueError):
    """The bytes are not RESP, or exceed a limit.

    No byte is lost by the error, because `complete` has the frames before the error from the same call of `feed`, and
    `rest` has the bytes after these frames. The first wrong byte is at the position `offset` of `rest`.
    """

    def __init__(self, why: str, offset: int, rest: bytes = b"", complete: Sequence[object] = ()) -> None:
        super().__init__(f"{why}: byte {offset} of {rest[: offset + 32]!r}")
        self.why, self.offset, self.rest, self.complete = why, offset, rest, complete


class Command(NamedTuple):
    """A command of a client."""

    argv: tuple[bytes, ...]  # The command's name and arguments; never empty.
    raw: bytes  # The bytes of the command and of empty commands before it, which Redis skips without a reply.


class Reply(NamedTuple):
    """A reply of a server, or a push."""

    raw: bytes  # the bytes of the reply and of its attributes before it

    @property
    def value(self) -> Value:
        """The value as hiredis decodes it (a set is a list), but big numbers are int. The value is decoded at each
        access."""
        return decoded(self.raw, 0)[0]

    @property
    def push(self) -> bool:
        """Whether this is a push, which answers no request except SUBSCRIBE and similar commands."""
        return self._head(1) == b">"

    @property
    def error(self) -> str | None:
        """The text of an error reply, `ERR …`, else None. Errors inside an array are part of its value."""
        if self.raw[0] not in b"-!|":  # most replies are no errors; "|" begins attributes before a reply
            return None
        return str(self.value) if self._head(1) in (b"-", b"!") else None

    @property
    def nil(self) -> bool:
        """Whether the reply is the null of RESP2 or RESP3."""
        return self._head(1) == b"_" or self._head(3) in (b"$-1", b"*-1")

    def _head(self, size: int) -> bytes:
        at = begin(self.raw, 0)
        return self.raw[at : at + size]


_USUAL = {raw: Reply(raw) for raw in (b"+OK\r\n", b"+PONG\r\n", b":0\r\n", b":1\r\n", b"$-1\r\n", b"*-1\r\n", b"_\r\n")}


def encode(*argv: bytes | str | int) -> bytes:
    """Return the bytes of a command in RESP."""
    words = [word if isinstance(word, bytes) else str(word).encode() for word in argv]
    return b"".join([b"*%d\r\n" % len(words), *(b"$%d\r\n%b\r\n" % (len(word), word) for word in words)])


def error(text: str) -> bytes:
    """Return an error reply. `text` begins with a code, such as `LOADING`. Raises ValueError for more than one line."""
    if "\r" in text or "\n" in text:
        raise ValueError(f"the text of an error reply must be one line, not {text!r}")
    return b"-%b\r\n" % text.encode()


class _Stream(Generic[T]):
    """Remembers an incomplete frame and how far it was parsed."""

    __slots__ = ("_at", "_need", "_open", "_rest", "_seen", "_wrong")
    _line = _LINE  # The types whose frames end with their first line.
    _first = _further = b"+-:_#,($!=*~>%|"  # The types allowed for the frame, and for items inside the frame.

    def __init__(self) -> None:
        self._rest = bytearray()  # All bytes from the beginning of the incomplete frame.
        self._at = 0  # Offset of the next token in the bytes.
        self._seen = 0  # The line of the next token does not end before this offset.
        self._need = 0  # Parsing goes on only when this many bytes have come.
        self._open: list[int] = []  # The number of missing items of each array or map that is incomplete.
        self._wrong: ProtocolError | None = None  # The error after which nothing more is parsed.

    @property
    def rest(self) -> bytes:
        """The bytes that were fed and are not part of a returned frame."""
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
        """Parse the rest of the frame that began at `start`, and move `_at` behind it; return None if the frame is
        incomplete."""
        raise NotImplementedError

    def _frame(self, data: Bytes) -> bool:
        """Go on parsing to the end of a frame; return False if the frame is incomplete."""
        at, seen, need, size, todo = self._at, self._seen, 0, len(data), self._open
        while at < size:
            kind = data[at]
            if kind not in (self._further if todo else self._first):
                raise ProtocolError("a byte that is no RESP type, or no type allowed here", at)
            end = data.find(b"\r\n", seen)
            if end < 0:
                if size - at > (BULK_LIMIT if kind in b"+-" else LINE_LIMIT):
                    raise ProtocolError("a line that is too long, without an end", at)
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
                    raise ProtocolError("a string without \\r\\n after its declared length", stop - 2)
                if kind == 61 and (count < 4 or data[end + 5] != 58):  # a verbatim string, such as =txt:text
                    raise ProtocolError("a verbatim string that does not begin with its format", end + 2)
                at = stop
            elif kind in b"*~>%|":
                count = _length(data, at, end)
                if kind in b"%|":
                    count *= 2
                if kind == 124:  # |: attributes; the reply after the attributes counts as their last item
                    count += 1
                if count and len(todo) == DEPTH_LIMIT:
                    raise ProtocolError(f"nested too deeply: the limit is {DEPTH_LIMIT} levels", at)
                at = end + 2
                if count:
                    todo.append(count)
                    seen = at
                    continue
            else:
                raise ProtocolError("a malformed value for its type", at)
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
    """Parses the bytes that a client sends."""

    __slots__ = ("_skipped",)
    _line, _first, _further = _NIL, b"*", b"$"

    def __init__(self) -> None:
        super().__init__()
        self._skipped = 0  # bytes of empty commands before the current command

    def feed(self, data: bytes) -> list[Command]:
        """Take bytes; return the commands that are complete now. Raises ProtocolError for bytes that are not RESP."""
        if self._rest or not (count := _COUNTS.get(data[:4])):
            return self._read(data, 0, [])
        # mostly the bytes are one complete command, so its last argument need not be searched for its end
        parts = data.split(b"\r\n", 2 * count)
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
                    raise ProtocolError(f"an inline command of more than {LINE_LIMIT} bytes", at)
                if end < 0:
                    self._seen, self._need = len(data), 0
                    return None
                argv = bytes(data[at:end]).split()
                if b'"' in data[at:end] or b"'" in data[at:end]:
                    raise ProtocolError("an inline command with quotes, which this parser does not support", at)
                self._at = self._seen = end + 1
            if argv:
                return _new(Command, (tuple(argv), bytes(data[start : self._at])))
        return None


class Replies(_Stream[Reply]):
    """Parses the bytes that a server sends."""

    __slots__ = ()

    def feed(self, data: bytes) -> list[Reply]:
        """Take bytes; return the replies that are complete now. Raises ProtocolError for bytes that are not RESP."""
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
        raise ProtocolError(f"a malformed length, or a length over {BULK_LIMIT}", at)
    return int(digits)
