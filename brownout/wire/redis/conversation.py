"""The conversation of one connection to Redis, as requests with their replies. The module parses bytes and sends none.

A request is one command, or a whole transaction (MULTI … EXEC, an atom), because redis-py sends a transaction in
one piece. In RESP3 a push answers no request, except for the confirmations of SUBSCRIBE, which are also pushes.
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
# this length is a limit, because a client may choose any text as a task's id
RESULT = re.compile(r"(?<=^celery-task-meta-).+")
# the end of the key of a queue with a priority: kombu's separator (Channel.sep) and the priority step
PRIORITY = re.compile(r"\x06\x16\d")
CONFIRMED = {b"SUBSCRIBE", b"PSUBSCRIBE", b"SSUBSCRIBE", b"UNSUBSCRIBE", b"PUNSUBSCRIBE", b"SUNSUBSCRIBE"}
MESSAGES = {b"MESSAGE", b"PMESSAGE", b"SMESSAGE"}
#: Commands whose name has two words, and commands whose first argument is not a key.
SUBCOMMANDS = {"CLIENT", "CONFIG", "SCRIPT", "HELLO", "COMMAND", "CLUSTER", "PUBSUB"}
KEYLESS = {"MULTI", "EXEC", "DISCARD", "PING", "AUTH", "SELECT", "ECHO", "QUIT", "EVALSHA", "EVAL", "UNWATCH", "INFO"}
BLOCKING = {"BRPOP", "BLPOP"}
SHORT = 256  # Bytes; longer arguments, such as scripts, are not cached, because they would fill the memory.
_MULTIPLE = {b"MULTI"} | CONFIRMED  # Commands that do not have exactly one reply.
_new = tuple.__new__  # `tuple.__new__` is called because it is faster than a call of the NamedTuple's class.


def pattern(key: bytes) -> str:
    """Return a key without the parts that depend on the task, the worker or the priority."""
    text = key.decode("utf-8", "backslashreplace")
    text = PRIORITY.sub("", RESULT.sub("<id>", IDS.sub("<id>", text)))
    return re.sub(r"^.+@.+(?=\.celery\.pidbox$)", "<node>", text)


def name(argv: tuple[bytes, ...]) -> str:
    """Return a text with the command's name and the pattern of its key. For BRPOP the pattern has every queue once, in
    sorted order, because kombu changes the order of the queues."""
    if len(argv) == 1:
        return argv[0].decode("latin-1").upper()
    short = len(argv[1]) < SHORT
    if label := _name(argv[0], argv[1]) if short else _name.__wrapped__(argv[0], argv[1]):
        return label
    return f"{argv[0].decode('latin-1').upper()} {','.join(sorted({pattern(key) for key in argv[1:-1]}))}"


@lru_cache(maxsize=4096)  # results are cached, because a system sends the same few commands all the time
def _name(verb: bytes, first: bytes) -> str:
    """Return the name of a command from its first argument; "" for a command that needs more arguments."""
    command = verb.decode("latin-1").upper()
    if command in KEYLESS:
        return command
    if command in SUBCOMMANDS:
        return f"{command} {first.decode('latin-1').upper()}"
    return "" if command in BLOCKING else f"{command} {pattern(first)}"


@lru_cache(maxsize=4096)
def _plain(verb: bytes, first: bytes) -> str:
    """Return the result of `_name` for a command that has exactly one reply, and "" for other commands."""
    return "" if verb.upper() in _MULTIPLE else _name(verb, first)


class Request:
    """A request: one command, or a whole transaction (atom). `raw` has the bytes of the request; `answer` has the bytes
    of all replies to it that have come so far.

    The class is no dataclass, because creating such an object takes twice as long, and a request is created for every
    Redis command.
    """

    # whether the next reply may not be the answer to the oldest request, as after MULTI or SUBSCRIBE
    several: bool = False
    ordinal: int = 0  # The number that the conductor has given to the request, if the request took the fast path.
    # The answer to a request that the network proxy itself answers and does not send to Redis.
    canned: bytes | None = None
    replies: tuple[Reply, ...] = ()

    def __init__(self, commands: list[Command], label: str, expected: int, raw: bytes) -> None:
        """`expected` is the number of replies that the server will send."""
        self.commands, self.label, self.expected, self.raw = commands, label, expected, raw

    @property
    def answer(self) -> bytes:
        """The bytes of all replies that have come so far."""
        return b"".join(reply.raw for reply in self.replies)

    @property
    def verb(self) -> bytes:
        """The name of the first command; for a transaction (atom) the name is MULTI."""
        return self.commands[0].argv[0].upper()

    @property
    def blocking(self) -> bool:
        """Whether the request waits at the server for a message, such as BRPOP."""
        return self.label.partition(" ")[0] in BLOCKING

    @property
    def delivered(self) -> bool:
        """Whether this request waited for a message and has got a message."""
        return self.blocking and bool(self.replies) and not self.replies[-1].nil and self.replies[-1].error is None

    @property
    def error(self) -> str | None:
        """The text of the first error among the replies, or None without an error."""
        for reply in self.replies:
            if (error := reply.error) is not None:
                return error
        return None


class Answer(NamedTuple):
    """Bytes for the client: all replies to a request, or a push that answers no request."""

    raw: bytes
    request: Request | None
    label: str


class Conversation:
    """Splits the bytes in both directions of a connection into requests and replies, and finds the request to which
    each reply belongs.

    `plain` converts a key to the key that a request's label shows, for instance without the application's prefix.
    """

    def __init__(self, plain: Callable[[bytes], bytes] | None = None) -> None:
        self._key = plain
        self.pending: deque[Request] = deque()
        self._up, self._down = Requests(), Replies()
        self._atom: list[Command] | None = None
        # whether the connection subscribes in RESP2, where only the first word tells messages from replies
        self._subscribed = False

    def requests(self, data: bytes) -> list[Request]:
        """Take bytes of the client; return the requests that are complete now. Raises ProtocolError for bytes that are
        not RESP."""
        done: list[Request] = []
        for command in self._up.feed(data):
            argv, raw = command
            words = self._labelled(argv) if self._key else argv
            if self._atom is None and len(words) > 1 and len(words[1]) < SHORT and (label := _plain(*words[:2])):
                done.append(Request([command], label, 1, raw))  # the most frequent kind of request comes here
            elif self._atom is None and (verb := argv[0].upper()) not in _MULTIPLE:
                done.append(Request([command], name(words), 1, raw))
            elif self._atom is not None:
                self._atom.append(command)
                if argv[0].upper() in (b"EXEC", b"DISCARD"):
                    atom, self._atom = self._atom, None
                    inner = ";".join(name(self._labelled(queued.argv)) for queued in atom[1:-1])
                    raw = b"".join(part.raw for part in atom)
                    done.append(_several(Request(atom, inner or "MULTI", len(atom), raw)))
            elif verb == b"MULTI":
                self._atom = [command]
            else:
                done.append(_several(Request([command], name(words), max(1, len(argv) - 1), raw)))
        return done

    def _labelled(self, argv: tuple[bytes, ...]) -> tuple[bytes, ...]:
        """Return the command with its keys converted by the function `plain`, as labels show them."""
        if self._key is None or len(argv) < 2:
            return argv
        verb = argv[0].decode("latin-1").upper()
        if verb in KEYLESS or verb in SUBCOMMANDS:
            return argv
        last = len(argv) if verb in BLOCKING else 2
        return (argv[0], *map(self._key, argv[1:last]), *argv[last:])

    def sent(self, request: Request) -> None:
        """Note that `request` is sent to the server, or, if it has an answer made by brownout (`canned`), that this
        answer follows after the earlier answers."""
        self.pending.append(request)

    def answers(self, data: bytes) -> list[Answer]:
        """Take bytes of the server; return the answers that are complete now. Raises ProtocolError for bytes that are
        not RESP."""
        done: list[Answer] = []
        for reply in self._down.feed(data):
            raw = reply.raw
            if self.pending and not (self._subscribed or raw[0] in b">|" or self.pending[0].several):
                # in the most frequent case the reply answers the oldest request
                request = self.pending.popleft()
                request.replies = (reply,)
                done.append(_new(Answer, (raw, request, request.label)))
                if self.pending and self.pending[0].canned is not None:
                    done.extend(self.canned_answers())
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
                done.append(Answer(reply.raw, None, "PUSH"))  # Redis may answer one UNSUBSCRIBE with many confirmations
            else:
                request = self.pending[0]
                request.replies = (*request.replies, reply)
                if len(request.replies) >= request.expected or (confirms and reply.error is not None):
                    self.pending.popleft()
                    done.append(Answer(request.answer, request, request.label))
                    done.extend(self.canned_answers())
        return done

    def canned_answers(self) -> list[Answer]:
        """Return the answers made by brownout (`canned`) that can be sent now, because no earlier request still waits
        for the server."""
        done = []
        while self.pending and (canned := self.pending[0].canned) is not None:
            request = self.pending.popleft()
            done.append(Answer(canned, request, request.label))
        return done


def _several(request: Request) -> Request:
    request.several = True
    return request


def _announced(reply: Reply) -> tuple[bytes, list[Value]]:
    """Return the first word and the whole value of a message or a confirmation; b"" and [] for other replies."""
    value = reply.value
    if isinstance(value, list) and len(value) > 1 and isinstance(value[0], bytes):
        return value[0].upper(), value
    return b"", []
