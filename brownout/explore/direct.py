"""What lies in Redis, read past the faulted network, on the wire's loop."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from brownout.subject.redis_server import CLIENT_NAME
from brownout.wire.resp import Replies, encode
from brownout.wire.resp_value import Failure, Value

PRIORITIES = ("", "\x06\x163", "\x06\x166", "\x06\x169")  # kombu.transport.redis.PRIORITY_STEPS


@dataclass(frozen=True)
class Message:
    """A task's message, wherever it lies."""

    id: str
    place: str  # a queue's name, or "unacked"
    raw: Mapping[str, Any]


class Direct:
    """One connection of our own. Every method raises OSError when the server does not answer, or with an error."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        self._replies = Replies()

    async def ask(self, *commands: tuple[str | bytes | int, ...], within: float = 2.0) -> list[Value]:
        """Send commands together; their replies. After an error the next call connects anew."""
        try:
            async with asyncio.timeout(within):
                if self._streams is None:
                    self._streams = await asyncio.open_connection("127.0.0.1", self._port)
                    self._replies = Replies()
                    commands = (("CLIENT", "SETNAME", CLIENT_NAME), *commands)
                    return (await self._talk(commands))[1:]
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

    async def messages(self, queues: Iterable[str]) -> tuple[Message, ...]:
        """Everything that waits in these queues, or is unacknowledged."""
        keys = [(queue, queue + step) for queue in queues for step in PRIORITIES]
        *lists, unacked = await self.ask(*(("LRANGE", key, 0, -1) for _, key in keys), ("HVALS", "unacked"))
        found = [
            (queue, json.loads(raw))
            for (queue, _), items in zip(keys, lists, strict=True)
            for raw in _listed(items)
        ]  # fmt: skip
        found += [("unacked", json.loads(raw)[0]) for raw in _listed(unacked)]
        return tuple(Message(str(raw.get("headers", {}).get("id")), place, raw) for place, raw in found)

    async def stored(self, task: str) -> str | None:
        """The state that the result backend has for a task."""
        _, raw, _ = await self.ask(("SELECT", 1), ("GET", f"celery-task-meta-{task}"), ("SELECT", 0))
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
