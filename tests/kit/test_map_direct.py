"""What is read and written past the faulted network."""

import asyncio
import base64
import json
import uuid
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from brownout.explore.direct import Direct, Message, arguments
from brownout.faults.broker import FILL, FILLER_DB, LOAD_DELAY
from brownout.history.layout import Layout
from brownout.subject.redis_server import RedisServer

Work = Callable[[Direct], Coroutine[Any, Any, None]]


def through(server: RedisServer, work: Work) -> None:
    """Do it with a connection that is closed at the end."""

    async def main() -> None:
        direct = Direct(server.port)
        try:
            await work(direct)
        finally:
            direct.close()
            await asyncio.sleep(0)

    asyncio.run(main())


def message(task: str, *args: object) -> dict[str, Any]:
    """As kombu queues it: task protocol 2, JSON in Base64."""
    return {
        "body": base64.b64encode(json.dumps([args, {}, {"callbacks": None}]).encode()).decode(),
        "headers": {"id": task, "task": "work", "root_id": task},
        "properties": {"correlation_id": task, "delivery_tag": str(uuid.uuid4()), "delivery_info": {}},
    }


def test_messages_are_found_wherever_they_lie(redis_server: RedisServer) -> None:
    with redis_server.client() as client:
        client.lpush("celery", json.dumps(message("a", 1)), json.dumps(message("b")))
        client.lpush("celery\x06\x169", json.dumps(message("c")))
        client.lpush("mail", json.dumps(message("d")))
        client.lpush("other", json.dumps(message("e")))
        client.hset("unacked", "tag", json.dumps([message("f", "x", 2), "", "celery"]))

    async def work(direct: Direct) -> None:
        direct.use(Layout(queues=("celery", "mail")))
        found = await direct.messages()
        assert [(each.id, each.place) for each in found] == [
            ("b", "celery"),
            ("a", "celery"),
            ("c", "celery"),
            ("d", "mail"),
            ("e", "other"),  # which no worker reads
            ("f", "unacked"),
        ]
        assert (arguments(found[1]), arguments(found[5])) == ([1], ["x", 2])

    through(redis_server, work)


def test_messages_are_found_under_the_application_s_own_keys(redis_server: RedisServer) -> None:
    with redis_server.client(2) as client:
        client.lpush("shop:celery:1", json.dumps(message("a")))
        client.hset("shop:open", "tag", json.dumps([message("b"), "", "celery"]))
    with redis_server.client(1) as backend:
        backend.set("shop-celery-task-meta-a", json.dumps({"status": "SUCCESS"}))

    async def work(direct: Direct) -> None:
        assert await direct.messages() == ()
        direct.use(Layout("shop:", ":", (0, 1), "open", results="shop-celery-task-meta-", database=2, backend=1))
        for _ in range(2):
            assert [(each.id, each.place) for each in await direct.messages()] == [("a", "celery"), ("b", "unacked")]
            assert await direct.stored("a") == "SUCCESS"  # and back in the broker's database

    through(redis_server, work)


def test_the_stored_state_is_read_from_the_backend_s_database(redis_server: RedisServer) -> None:
    with redis_server.client(1) as backend:
        backend.set("celery-task-meta-a", json.dumps({"status": "FAILURE", "result": None}))

    async def work(direct: Direct) -> None:
        assert await direct.stored("a") is None, "no result backend"
        direct.use(Layout(backend=1))
        assert [await direct.stored("a"), await direct.stored("b")] == ["FAILURE", None]
        assert await direct.ask(("SET", "here", 1)) == [b"OK"]

    through(redis_server, work)
    with redis_server.client() as client:
        assert client.get("here") == b"1"


def test_connections_are_listed_without_our_own(redis_server: RedisServer) -> None:
    async def work(direct: Direct) -> None:
        others = {line.partition(" ")[0] for line in await direct.clients()}  # of earlier tests on the same server
        with redis_server.client() as ours:
            ours.ping()
            assert {line.partition(" ")[0] for line in await direct.clients()} <= others
        reader, writer = await asyncio.open_connection("127.0.0.1", redis_server.port)
        writer.write(b"PING\r\n")  # the kernel accepts before the server does
        await reader.readline()
        (line,) = (each for each in await direct.clients() if each.partition(" ")[0] not in others)
        assert "name= " in line
        writer.close()
        await writer.wait_closed()

    through(redis_server, work)


def test_a_probe_is_a_copy_with_ids_of_its_own(redis_server: RedisServer) -> None:
    original = message("11111111-2222-3333-4444-555555555555", "warm")

    async def work(direct: Direct) -> None:
        await direct.push(Message(original["headers"]["id"], "celery", original), "probe", "celery")
        (found,) = await direct.messages()
        assert (found.id, arguments(found)) == ("probe", ["warm"])
        assert found.raw["headers"] == {"id": "probe", "task": "work", "root_id": "probe"}
        assert found.raw["properties"]["correlation_id"] == "probe"
        assert found.raw["properties"]["delivery_tag"] != original["properties"]["delivery_tag"]

    through(redis_server, work)


def test_a_server_that_does_not_answer_is_an_error_and_one_that_is_back_is_not(local_redis: RedisServer) -> None:
    async def work(direct: Direct) -> None:
        assert await direct.ask(("PING",), ("ECHO", "x")) == [b"PONG", b"x"]
        local_redis.kill()
        for _ in range(2):
            with pytest.raises(OSError, match=r"closed|refused|reset|Connect call failed"):
                await direct.messages()
        local_redis.restart()
        assert await direct.ask(("PING",)) == [b"PONG"]
        local_redis.pause()
        try:
            with pytest.raises(TimeoutError):
                await direct.ask(("ECHO", "late"), within=0.05)
        finally:
            local_redis.resume()
        assert await direct.ask(("ECHO", "in time")) == [b"in time"]  # not what was asked before

    through(local_redis, work)


def test_a_server_that_loads_its_data_is_not_one_without_messages(local_redis: RedisServer) -> None:
    with local_redis.client(FILLER_DB) as client:
        client.eval(FILL, 0)

    async def work(direct: Direct) -> None:
        local_redis.relaunch({"key-load-delay": LOAD_DELAY})
        found: list[str] = []
        for _ in range(1000):
            try:
                await direct.messages()
            except OSError as error:
                if "LOADING" in str(error):
                    found.append(str(error))
                    break
                await asyncio.sleep(0.005)
            else:
                break
        assert found == ["Redis answers LOADING Redis is loading the dataset in memory"]

    through(local_redis, work)


def test_an_error_does_not_leave_it_in_another_database(redis_server: RedisServer) -> None:
    with redis_server.client(1) as backend:
        backend.lpush("celery-task-meta-a", "no string")

    async def work(direct: Direct) -> None:
        direct.use(Layout(backend=1))
        with pytest.raises(OSError, match="WRONGTYPE"):
            await direct.stored("a")
        await direct.ask(("SET", "here", 1))

    through(redis_server, work)
    with redis_server.client() as client:
        assert client.exists("here")
