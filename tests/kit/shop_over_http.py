"""An API in the shape of many: ids of its own, told by `location` only, and states in small letters, deep in the body.

It sends two tasks for one order; the second one is a mail that nobody asks for.
"""

from __future__ import annotations

import asyncio
import os
import time
from itertools import count
from typing import Any
from urllib.parse import parse_qs

from celery import Celery
from fastapi import FastAPI, Request, Response

celery = Celery("shop", broker=os.environ["SHOP_REDIS"], backend=os.environ["SHOP_RESULTS"])
app = FastAPI()
numbers = count(7)
orders: dict[int, str] = {}


@celery.task(name="shop.send")
def send(kind: int) -> int:
    time.sleep(0.05)
    return kind


@celery.task(name="shop.mail", ignore_result=True)
def mail() -> None:
    """Not what an order is about."""


@app.post("/orders", status_code=202)
def order(data: dict[str, Any], response: Response) -> dict[str, str]:
    number = next(numbers)
    orders[number] = send.delay(data["type"]).id
    mail.delay()
    response.headers["location"] = f"/orders/{number}/state"
    return {"message": "queued"}


@app.post("/forms", status_code=202)
async def form(request: Request) -> dict[str, Any]:
    fields = parse_qs((await request.body()).decode())
    task = await asyncio.to_thread(send.delay, int(fields["kind"][0]))
    return {"data": {"id": task.id}}


@app.get("/orders/{number}/state")
def state(number: str) -> dict[str, Any]:
    task = orders[int(number)] if number.isdecimal() else number
    return {"order": {"state": celery.AsyncResult(task).state.lower()}}
