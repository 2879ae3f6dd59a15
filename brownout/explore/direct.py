"""What lies in Redis, read past the faulted network, on the wire's loop."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from brownout.history.layout import Layout
from brownout.subject.redis_server import CLIENT_NAME
from brownout.wire.resp import Replies, encode
from brownout.wire.resp_value import Failure, Value

PAGE = 1_000  # keys that SCAN looks at in one go


@dataclass(frozen=True)
class Message:
    """A task's message, wherever it lies."""

    id: str
    place: str  # a queue's name, or "unacked"
    raw: Mapping[str, Any]


class Direct:
    """One connection of our own. Every method raises OSError when the server does not answer, or with an error.

    `layout` says where the application's messages lie; `use` gives it one, until then it is kombu's.
    """

    def __init__(self, port: int) -> None:
        self._port, self.layout = port, Layout()
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        self._replies = Replies()

    def use(self, layout: Layout) -> None:
        """Look there from now on; another layout may be in another database, so the next call connects anew."""
        if layout != self.layout:
            self.close()
            self.layout = layout

    async def ask(self, *commands: tuple[str | bytes | int, ...], within: float = 2.0) -> list[Value]:
        """Send commands together; their replies. After an error the next call connects anew."""
        try:
            async with asyncio.timeout(within):
                if self._streams is None:
                    self._streams = await asyncio.open_connection("127.0.0.1", self._port)
                    self._replies = Replies()
                    first = ("CLIENT", "SETNAME", CLIENT_NAME), ("SELECT", self.layout.database)
                    return (await self._talk((*first, *commands)))[len(first) :]
                return await self._talk(commands)
        except BaseException:
            self.close()
            raise

    async def _talk(self, commands: Iterable[tuple[str | bytes | int, ...]]) -> list[Value]:
        assert self._streams
        reader, writer = self._streams
        sent = [encode(*command) for command in commands]
        writer.write(b"".join(sent))
        got: list[Value] = []
        while len(got) < len(sent):
            if not (data := await reader.read(65536)):
                raise ConnectionResetError("Redis has closed the connection")
            got += [reply.value for reply in self._replies.feed(data)]
        if wrong := next((each for each in got if isinstance(each, Failure)), None):
            raise OSError(f"Redis answers {wrong}")  # a server that loads its data is not one without messages
        return got

    def close(self) -> None:
        """Harmless when it is not open."""
        if self._streams:
            self._streams[1].transport.abort()
            self._streams = None

    async def messages(self) -> tuple[Message, ...]:
        """Every task's message that lies in any list, or is unacknowledged; read in one transaction."""
        layout, found, cursor = self.layout, list[bytes](), b""
        while cursor != b"0":
            (page,) = await self.ask(("SCAN", cursor or b"0", "COUNT", PAGE, "TYPE", "list"))
            if not isinstance(page, list) or not isinstance(page[0], bytes):
                raise OSError(f"Redis answers {page!r} to SCAN")
            cursor = page[0]
            found += _listed(page[1])
        lists = layout.lists(found)
        reads = [("LRANGE", key.encode("utf-8", "surrogateescape"), 0, -1) for key in lists]
        *_, told = await self.ask(("MULTI",), *reads, ("HVALS", layout.unacked_keys[0]), ("EXEC",))
        if not isinstance(told, list):
            raise OSError(f"Redis answers {told!r} to EXEC")
        for key, answer in zip((*lists, layout.unacked_keys[0]), told, strict=True):
            if isinstance(answer, Failure) and (key in layout.own or key in layout.unacked_keys):
                raise OSError(f"Redis answers {answer}")
        *entries, unacked = map(_listed, told)
        located = layout.located(lists, entries, unacked)
        return tuple(Message(each.task, each.place, each.message) for each in located if each.task)

    async def stored(self, task: str) -> str | None:
        """The state that the result backend has for a task; None where it has none, or is no Redis database."""
        if self.layout.backend is None:
            return None
        key, back = f"{self.layout.results}{task}", ("SELECT", self.layout.database)
        _, raw, _ = await self.ask(("SELECT", self.layout.backend), ("GET", key), back)
        return str(json.loads(raw)["status"]) if isinstance(raw, bytes) else None

    async def clients(self) -> list[str]:
        """Connections that are not ours, as CLIENT LIST tells them."""
        (raw,) = await self.ask(("CLIENT", "LIST"))
        text = raw.decode() if isinstance(raw, bytes) else str(raw)
        return [line for line in text.splitlines() if line and f"name={CLIENT_NAME} " not in line]

    async def push(self, message: Message, task: str, queue: str) -> None:
        """Queue a copy of a message as a new task, past everything: is there somebody who consumes?"""
        raw = json.loads(json.dumps(message.raw).replace(message.id, task))
        raw["properties"]["delivery_tag"] = f"probe-{task}"
        await self.ask(("LPUSH", queue, json.dumps(raw)))


def arguments(message: Message) -> Any:
    """The positional arguments of a message (task protocol 2, JSON)."""
    return json.loads(base64.b64decode(message.raw["body"]))[0]


def _listed(value: Value) -> list[bytes]:
    return [each for each in value if isinstance(each, bytes)] if isinstance(value, list) else []
