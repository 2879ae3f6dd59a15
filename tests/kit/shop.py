"""A shop's Celery application, whose settings are what its environment says, as JSON."""

from __future__ import annotations

import json
import os
import time
from typing import Any

from celery import Celery
from kombu.transport import TRANSPORT_ALIASES
from kombu.transport.redis import Channel, Transport


class OwnChannel(Channel):
    """It may name its lists in its own way: only it knows that it does not."""

    def _q_for_pri(self, queue: str, pri: int) -> str:
        return str(Channel._q_for_pri(self, queue, pri))  # type: ignore[attr-defined]  # the stubs lack it


class OwnTransport(Transport):
    """The broker of `own://`."""

    Channel = OwnChannel


TRANSPORT_ALIASES["own"] = f"{__name__}:OwnTransport"
broker = os.environ.get("SHOP_BROKER", "")
app = Celery("shop", broker=broker.replace("redis:", os.environ.get("SHOP_TRANSPORT", "redis:")))
app.conf.update(
    task_acks_late=True,
    broker_connection_retry_on_startup=True,
    **json.loads(os.environ.get("SHOP_CONF", "{}")),
)


def _work(self: Any, key: str, lasting: float = 0.0) -> None:
    print(f"{self.name} {key}")  # noqa: T201 - an application prints what it likes
    time.sleep(lasting)
    line = json.dumps({"at": time.monotonic_ns(), "task": self.request.id, "key": key, "name": self.name})
    with open(os.environ["SHOP_EFFECTS"], "ab", 0) as file:  # noqa: PTH123 - one write
        file.write(line.encode() + b"\n")


for name in ("shop.work", "shop.mail"):
    app.task(name=name, bind=True)(_work)
print("the shop is open")  # noqa: T201
