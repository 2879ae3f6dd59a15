"""What one connection to Redis says, as requests with their replies: pure, no bytes are sent here.

A request is one command, or MULTI … EXEC as one atom: redis-py sends a transaction in one piece, and half of one means
nothing. RESP3 pushes come out of band and answer nothing, but the confirmations of SUBSCRIBE, which are pushes too.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable
from functools import lru_cache
from typing import NamedTuple

from brownout.wire.redis.resp import Command, Replies, Reply, Requests
from brownout.wire.redis.resp_value import Value

IDS = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
RESULT = re.compile(r"(?<=^celery-task-meta-).+")  # a task may have an id of its client's choice
PRIORITY = re.compile(r"\x06\x16\d")  # kombu.transport.redis.Channel.sep and the priority step
CONFIRMED = {b"SUBSCRIBE", b"PSUBSCRIBE", b"SSUBSCRIBE", b"UNSUBSCRIBE", b"PUNSUBSCRIBE", b"SUNSUBSCRIBE"}
MESSAGES = {b"MESSAGE", b"PMESSAGE", b"SMESSAGE"}
#: Commands whose second word tells what they are, and those whose first argument is no key.
SUBCOMMANDS = {"CLIENT", "CONFIG", "SCRIPT", "HELLO", "COMMAND", "CLUSTER", "PUBSUB"}
KEYLESS = {"MULTI", "EXEC", "DISCARD", "PING", "AUTH", "SELECT", "ECHO", "QUIT", "EVALSHA", "EVAL", "UNWATCH", "INFO"}
BLOCKING = {"BRPOP", "BLPOP"}
SHORT = 256  # bytes; what is longer, a script or a text for ECHO, would only fill the memory
_MULTIPLE = {b"MULTI"} | CONFIRMED  # what has not one reply of its own
_new = tuple.__new__  # faster than to call a NamedTuple


def pattern(key: bytes) -> str:
    """A key without what differs from one task, worker or priority to the next."""
    text = key.decode("utf-8", "backslashreplace")
    text = PRIORITY.sub("", RESULT.sub("<id>", IDS.sub("<id>", text)))
    return re.sub(r"^.+@.+(?=\.celery\.pidbox$)", "<node>", text)


def name(argv: tuple[bytes, ...]) -> str:
    """A command and its key pattern; a BRPOP names its queues once each, because kombu rotates and multiplies them."""
    if len(argv) == 1:
        return argv[0].decode("latin-1").upper()
    short = len(argv[1]) < SHORT
    if label := _name(argv[0], argv[1]) if short else _name.__wrapped__(argv[0], argv[1]):
        return label
    return f"{argv[0].decode('latin-1').upper()} {','.join(sorted({pattern(key) for key in argv[1:-1]}))}"


@lru_cache(maxsize=4096)  # a system says the same few things all the time
def _name(verb: bytes, first: bytes) -> str:
    """Of a command with an argument; empty where it takes more of them to tell."""
    command = verb.decode("latin-1").upper()
    if command in KEYLESS:
        return command
    if command in SUBCOMMANDS:
        return f"{command} {first.decode('latin-1').upper()}"
    return "" if command in BLOCKING else f"{command} {pattern(first)}"


@lru_cache(maxsize=4096)
def _plain(verb: bytes, first: bytes) -> str:
    """The same, empty too where there is not one reply."""
    return "" if verb.upper() in _MULTIPLE else _name(verb, first)


class Request:
    """One command or atom. `raw` are its bytes, `answer` those of all its replies so far.

    Made for every few bytes that pass, so it is a class that sets what it must; a dataclass takes twice as long.
    """

    several: bool = False  # an atom, or about subscriptions: the next reply in band may not be its answer
    ordinal: int = 0  # which of its kind it is, where a director has counted it in haste
    canned: bytes | None = None  # answered by us, never sent
    replies: tuple[Reply, ...] = ()

    def __init__(self, commands: list[Command], label: str, expected: int, raw: bytes) -> None:
        """`expected`: how many replies."""
        self.commands, self.label, self.expected, self.raw = commands, label, expected, raw

    @property
    def answer(self) -> bytes:
        """What the server answered."""
        return b"".join(reply.raw for reply in self.replies)

    @property
    def verb(self) -> bytes:
        """The first command's name: `MULTI` for an atom."""
        return self.commands[0].argv[0].upper()

    @property
    def blocking(self) -> bool:
        """Waits for a message."""
        return self.label.partition(" ")[0] in BLOCKING

    @property
    def delivered(self) -> bool:
        """A blocking request that brought a message."""
        return self.blocking and bool(self.replies) and not self.replies[-1].nil and self.replies[-1].error is None

    @property
    def error(self) -> str | None:
        """The first error among its replies."""
        for reply in self.replies:
            if (error := reply.error) is not None:
                return error
        return None


class Answer(NamedTuple):
    """Something for the client: all replies to a request, or a push that answers none."""

    raw: bytes
    request: Request | None
    label: str


class Conversation:
    """Frames both streams of a connection and matches replies to requests, in order.

    `plain` makes of a key the one by which requests are named: without an application's prefix, for instance.
    """

    def __init__(self, plain: Callable[[bytes], bytes] | None = None) -> None:
        self._key = plain
        self.pending: deque[Request] = deque()
        self._up, self._down = Requests(), Replies()
        self._atom: list[Command] | None = None
        self._subscribed = False  # in RESP2, where whatever comes is told apart by its first word alone

    def asked(self, data: bytes) -> list[Request]:
        """Requests that are complete now. Raises ProtocolError."""
        done: list[Request] = []
        for command in self._up.feed(data):
            argv, raw = command
            told = self._told(argv) if self._key else argv
            if self._atom is None and len(told) > 1 and len(told[1]) < SHORT and (label := _plain(told[0], told[1])):
                done.append(Request([command], label, 1, raw))  # most often
            elif self._atom is None and (verb := argv[0].upper()) not in _MULTIPLE:
                done.append(Request([command], name(told), 1, raw))
            elif self._atom is not None:
                self._atom.append(command)
                if argv[0].upper() in (b"EXEC", b"DISCARD"):
                    atom, self._atom = self._atom, None
                    inner = ";".join(name(self._told(each.argv)) for each in atom[1:-1])
                    done.append(
                        _several(Request(atom, inner or "MULTI", len(atom), b"".join(each.raw for each in atom)))
                    )
            elif verb == b"MULTI":
                self._atom = [command]
            else:
                done.append(_several(Request([command], name(told), max(1, len(argv) - 1), raw)))
        return done

    def _told(self, argv: tuple[bytes, ...]) -> tuple[bytes, ...]:
        """The command with its keys as they are named."""
        if self._key is None or len(argv) < 2:
            return argv
        verb = argv[0].decode("latin-1").upper()
        if verb in KEYLESS or verb in SUBCOMMANDS:
            return argv
        last = len(argv) if verb in BLOCKING else 2
        return (argv[0], *map(self._key, argv[1:last]), *argv[last:])

    def sent(self, request: Request) -> None:
        """The request goes to the server, or (with `canned`) is answered in its turn by us."""
        self.pending.append(request)

    def said(self, data: bytes) -> list[Answer]:
        """Answers that are complete now. Raises ProtocolError."""
        done: list[Answer] = []
        for reply in self._down.feed(data):
            raw = reply.raw
            if self.pending and not (self._subscribed or raw[0] in b">|" or self.pending[0].several):
                request = self.pending.popleft()  # most often; it can be nothing else than the answer
                request.replies = (reply,)
                done.append(_new(Answer, (raw, request, request.label)))
                if self.pending and self.pending[0].canned is not None:
                    done.extend(self.turn())
                continue
            expected = self.pending[0].verb if self.pending else b""
            confirms = expected in CONFIRMED
            kind, parts = _announced(reply) if reply.push or self._subscribed or confirms else (b"", [])
            if kind in CONFIRMED:
                self._subscribed = not reply.push and parts[-1] != 0
            if kind in MESSAGES and isinstance(parts[1], bytes):
                channel = self._key(parts[1]) if self._key else parts[1]
                done.append(Answer(reply.raw, None, f"PUSH {pattern(channel)}"))
            elif not self.pending or ((reply.push or kind in CONFIRMED) and kind != expected):
                done.append(Answer(reply.raw, None, "PUSH"))  # an UNSUBSCRIBE from all is confirmed by many
            else:
                request = self.pending[0]
                request.replies = (*request.replies, reply)
                if len(request.replies) >= request.expected or (confirms and reply.error is not None):
                    self.pending.popleft()
                    done.append(Answer(request.answer, request, request.label))
                    done.extend(self.turn())
        return done

    def turn(self) -> list[Answer]:
        """Answers of ours whose turn has come."""
        done = []
        while self.pending and (canned := self.pending[0].canned) is not None:
            request = self.pending.popleft()
            done.append(Answer(canned, request, request.label))
        return done


def _several(request: Request) -> Request:
    request.several = True
    return request


def _announced(reply: Reply) -> tuple[bytes, list[Value]]:
    """What comes of itself or confirms a subscription: its first word, and all of it."""
    value = reply.value
    if isinstance(value, list) and len(value) > 1 and isinstance(value[0], bytes):
        return value[0].upper(), value
    return b"", []
