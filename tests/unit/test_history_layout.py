"""From an application's settings to the keys of its messages, and back."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from celery import Celery
from hypothesis import assume, given
from hypothesis import strategies as st
from kombu import Exchange, Queue
from kombu.common import Broadcast
from kombu.transport import TRANSPORT_ALIASES
from kombu.transport.redis import Channel, Transport

from brownout.history.layout import UNACKED, Layout, Unreadable, task_id
from brownout.probes.layout import describe
from tests.history_layouts import layouts


def app(broker: str = "redis://127.0.0.1:1/3", **conf: Any) -> Celery:
    made = Celery("keys", broker=broker, set_as_current=False)
    made.conf.update(conf)
    return made


def test_kombu_s_own_keys_are_the_defaults() -> None:
    assert Layout.of(describe(app("redis://127.0.0.1:1/0"))) == Layout()


def test_everything_is_read_from_the_application() -> None:
    options = {
        **{"global_keyprefix": "shop:", "sep": ":", "priority_steps": [0, 1, 2]},
        **{"unacked_key": "open", "unacked_index_key": "open_index", "unacked_mutex_key": "open_mutex"},
    }
    found = describe(
        app(
            broker_transport_options=options,
            task_queues=[Queue("mail"), Queue("fast", Exchange("fast")), Broadcast("all")],
            result_backend="redis://127.0.0.1:1/1",
            result_backend_transport_options={"global_keyprefix": "shop"},
        )
    )
    assert Layout.of(json.loads(json.dumps(found))) == Layout(
        *("shop:", ":", (0, 1, 2), "open", "open_index", "open_mutex", ("mail", "fast"), "shop_celery-task-meta-", 3, 1)
    )


@pytest.mark.parametrize(
    ("backend", "number"),
    [
        ("redis://127.0.0.1:1", 0),
        ("redis://127.0.0.1:1/4", 4),
        ("sentinel://127.0.0.1:1/4", 4),
        ("rpc://", None),
        ("cache+memory://", None),
        ("nothing.such:Backend", None),
    ],
)
def test_the_result_backend_s_database_is_read_and_one_that_cannot_be_made_hides_no_queue(
    backend: str, number: int | None
) -> None:
    found = Layout.of(describe(app(result_backend=backend)))
    assert (found.backend, found.database) == (number, 3)


def test_a_kombu_that_knows_no_prefix_has_none(monkeypatch: pytest.MonkeyPatch) -> None:
    for holder in (cls for cls in Channel.__mro__ if "global_keyprefix" in vars(cls)):
        monkeypatch.delattr(holder, "global_keyprefix")
    assert Layout.of(describe(app("redis://127.0.0.1:1/0"))) == Layout()


def test_a_worker_s_own_choice_of_queues_is_read() -> None:
    made = app(task_default_queue="shop")
    assert Layout.of(describe(made)).queues == ("shop",)
    made.amqp.queues.select(["fast", "slow"])  # as `-Q fast,slow` does
    assert Layout.of(describe(made)).queues == ("fast", "slow")


class OwnChannel(Channel):
    def _q_for_pri(self, queue: str, pri: int) -> str:
        return f"{pri}/{queue}"


class OwnTransport(Transport):
    Channel = OwnChannel


def test_what_cannot_be_read_is_said_and_never_the_defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(TRANSPORT_ALIASES, "own", f"{__name__}:OwnTransport")
    for told, reason in (
        (describe(app("memory://")), "the application's broker is memory, not Redis"),
        (
            describe(app("own://127.0.0.1:1/0")),
            f"the application's transport {__name__}.OwnTransport names its lists in its own way",
        ),
        (describe(app(broker_transport_options={"priority_steps": ["low"]})), "ValueError"),
        (None, "no process of the application has reported"),
    ):
        with pytest.raises(Unreadable, match=reason):
            Layout.of(told)


@given(layouts(), st.data())
def test_every_key_of_a_queue_leads_back_to_it(layout: Layout, data: st.DataObject) -> None:
    for queue in layout.queues:
        for step in layout.steps:
            assert layout.lists([])[layout.key(queue, step)] == queue
    other = data.draw(st.sampled_from(["mail", "mail.in", "über"]))
    assume(layout.separator not in other and other not in layout.queues)
    key = layout.key(other, data.draw(st.sampled_from(layout.steps)))
    assert layout.lists([key.encode()])[key] == other


@given(layouts())
def test_a_key_is_named_as_kombu_s_defaults_would_have_it(layout: Layout) -> None:
    assume(layout.plain)
    assert layout.plain
    for key, name in (
        *((layout.key(queue, step), queue) for queue in layout.queues for step in layout.steps),
        *zip(layout.unacked_keys, ("unacked", "unacked_index"), strict=True),
        (layout.prefix + layout.unacked_mutex, "unacked_mutex"),
        (layout.prefix + "_kombu.binding.celery", "_kombu.binding.celery"),
    ):
        assert layout.plain(key.encode()).decode() == name


def test_a_list_outside_of_the_prefix_is_not_taken_for_the_queue() -> None:
    lists = Layout(prefix="shop:").lists([b"celery", b"shop:celery"])
    assert lists == {
        **{f"shop:celery{end}": "celery" for end in ("", "\x06\x163", "\x06\x166", "\x06\x169")},
        "celery": "celery (without the prefix shop:)",
    }


def envelope(task: str | None = None, **more: Any) -> dict[str, Any]:
    properties = {"delivery_tag": "tag", **({"correlation_id": task} if task else {})}
    return {"body": "", "headers": {}, "properties": properties, **more}


def body(**content: Any) -> str:
    return base64.b64encode(json.dumps(content).encode()).decode()


@pytest.mark.parametrize(
    ("message", "known", "strict"),
    [
        (envelope("a", headers={"id": "a", "task": "work"}), "a", "a"),
        (envelope("a", body=body(task="work", id="a", args=[])), "a", "a"),  # task protocol 1
        (envelope("a", body=body(status="SUCCESS", task_id="a")), "a", None),  # a result of the RPC backend
        (envelope("a", body="gAR9"), "a", None),  # a result of the RPC backend, pickled
        (
            envelope("a", body="gAR9", properties={"correlation_id": "a", "reply_to": ""}),
            "a",
            "a",
        ),  # protocol 1, pickled
        (envelope("a", body="gAR9", headers={"task": "work"}), "a", "a"),
        (envelope(None, headers={"ticket": "x"}), None, None),  # an answer of remote control
        ([1, "a", "SUCCESS", None], None, None),  # a part of a chord, in a result backend of the same database
        ("rubbish", None, None),
        (None, None, None),
    ],
)
def test_whose_message_it_is(message: Any, known: str | None, strict: str | None) -> None:
    assert (task_id(message), task_id(message, strict=True)) == (known, strict)


def test_lists_of_others_hold_only_what_is_a_task_s() -> None:
    layout = Layout()
    lists = layout.lists([b"cart", b"mail"])
    task = json.dumps(envelope("a", headers={"id": "a", "task": "work"}))
    result = json.dumps(envelope("c", body=body(status="SUCCESS", task_id="c")))  # of the RPC backend
    entries = [["rubbish"], [], [], [], ["apple", result], [task, "core"]]
    unacked = [json.dumps([envelope("b", headers={"id": "b", "task": "work"}), "", "celery"]), "rubbish"]
    found = [(message.place, message.task) for message in layout.located(lists, entries, unacked)]
    assert found == [("celery", None), ("mail", "a"), (UNACKED, "b"), (UNACKED, None)]
