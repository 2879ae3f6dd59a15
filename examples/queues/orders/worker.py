import os
import time

from celery import Celery

from orders.store import Order, Session

app = Celery("orders", broker=os.getenv("BROKER_URL", "redis://localhost:6379/0"))
app.conf.update(
    task_ignore_result=True,
    task_acks_late=True,
    task_reject_on_worker_lost=True,
    task_default_queue="default",
    task_routes={"orders.pack": {"queue": "packing"}, "orders.mail": {"queue": "mails"}},
    broker_transport_options={
        "visibility_timeout": 3,  # a worker that died gives its task back after 3 s
        "unacked_restore_interval": 1,
        "unacked_restore_throttle": 1,
    },
)


@app.task(name="orders.pack")
def pack(number: int) -> None:
    time.sleep(0.2)
    with Session.begin() as session:
        session.get_one(Order, number).state = "SUCCESS"


@app.task(name="orders.mail")
def mail(number: int) -> None:
    time.sleep(0.1)
