"""Which actions make sense at which points, and how they are carried out there."""

import asyncio
from signal import SIGCONT, SIGSTOP
from typing import Any, cast

import pytest

from brownout.explore.action import ACTIONS, STANDARD, cells, chosen
from brownout.explore.cell import MOMENTS, Cell, Moment, Point
from brownout.explore.conductor import Hit
from brownout.explore.refusals import STATES
from brownout.explore.strike import STRIKES, Striker
from brownout.plan.near import UnknownName
from brownout.wire.conversation import Request
from brownout.wire.resp import Command

SAMPLES = {
    Point("client->broker", "LPUSH celery"): ((b"LPUSH", b"celery", b"m"),),
    Point("worker->broker", "BRPOP celery[idle]"): ((b"BRPOP", b"celery", b"1"),),
    Point("worker->broker", "BRPOP celery"): (),
    Point("worker->broker", "ZREM unacked_index;HDEL unacked"): (
        (b"MULTI",),
        (b"ZREM", b"unacked_index", b"t"),
        (b"HDEL", b"unacked", b"t"),
        (b"EXEC",),
    ),
    Point("worker->backend", "GET meta"): ((b"GET", b"meta"),),
    Point("client->backend", "PUSH meta"): (),
    Point("beat->broker", "LPUSH celery"): ((b"LPUSH", b"celery", b"m"),),
    Point("client->broker", "HELLO 3"): ((b"HELLO", b"3"),),
}
EVERY = {(cell.point, f"{cell.moment}-{cell.action}") for cell in cells(SAMPLES, SAMPLES, chosen(["all"]))}


def columns(label: str, edge: str = "", names: str = "all") -> set[str]:
    points = [point for point in SAMPLES if point.label == label and point.edge.startswith(edge)]
    return {f"{cell.moment}-{cell.action}" for cell in cells(points, SAMPLES, chosen([names]))}


def test_the_standard_ones_are_fourteen_columns() -> None:
    assert STANDARD == ("cut", "held", "never", "late", "loading", "readonly", "busy", "oom", "kill", "kill-child",
                        "restart-broker")  # fmt: skip
    assert sum(len(ACTIONS[name].moments) for name in STANDARD) == 14
    assert chosen(["standard"]) == tuple(ACTIONS[name] for name in STANDARD)
    assert chosen(["all"]) == tuple(ACTIONS.values())


def test_each_can_be_carried_out() -> None:
    for name, action in ACTIONS.items():
        assert (name in STRIKES) is (action.state is None)
        assert action.state is None or action.state in STATES
        assert (action.name, {*action.moments} <= {*MOMENTS}) == (name, True)


def test_they_are_chosen_by_name_in_one_order() -> None:
    assert [each.name for each in chosen(["oom", "cut", "standard", "reset", "cut"])] == [*STANDARD, "reset"]
    with pytest.raises(UnknownName, match=r"'hold'.*did you mean 'held'"):
        chosen(["cut", "hold"])


def test_cells_come_by_point_then_action_then_moment() -> None:
    points = [*SAMPLES]
    found = cells(points, SAMPLES, chosen(["cut", "kill"]))
    assert sorted(found, key=lambda cell: points.index(cell.point)) == list(found)
    assert [cell.full for cell in found[:2]] == [
        "client->broker/LPUSH celery#1/before-cut",
        "client->broker/LPUSH celery#1/after-cut",
    ]


def test_an_idle_brpop_has_no_moment_after_it() -> None:
    assert columns("BRPOP celery[idle]", names="standard") == {
        f"before-{action}" for action in ("cut", "late", "loading", "readonly", "busy", "kill", "restart-broker")
    }


@pytest.mark.parametrize("label", ["BRPOP celery", "PUSH meta"])
def test_what_was_not_asked_for_just_now_has_no_moment_before_it(label: str) -> None:
    assert {column.partition("-")[0] for column in columns(label)} == {"after"}


def test_an_error_reply_is_given_where_a_server_would() -> None:
    def refused(label: str, edge: str = "") -> set[str]:
        return {each.removeprefix("before-") for each in columns(label, edge)} & {*STATES}

    assert refused("LPUSH celery") == {"loading", "readonly", "busy", "oom", "misconf"}
    assert refused("GET meta") == {"loading", "busy"}
    assert refused("ZREM unacked_index;HDEL unacked") == {"loading", "readonly", "busy", "oom", "misconf"}
    assert refused("HELLO 3") == {"noauth", "maxclients"}
    assert refused("BRPOP celery") == refused("PUSH meta") == set()


@pytest.mark.parametrize("action", ["kill", "stop"])
def test_processes_die_where_that_matters(action: str) -> None:
    killed = {point for point, column in EVERY if column.endswith(f"-{action}")}
    assert {point.edge for point in killed} == {"client->broker", "worker->broker", "worker->backend"}


def test_only_workers_have_pool_processes() -> None:
    children = {(point.edge, column) for point, column in EVERY if "child" in column}
    assert children == {("worker->broker", "after-kill-child"), ("worker->backend", "after-kill-child")}


def test_a_point_that_nobody_saw_a_command_at_refuses_nothing() -> None:
    point = Point("worker->broker", "LPUSH celery", 2)
    found = {cell.action for cell in cells([point], {}, chosen(["all"]))}
    assert not found & {*STATES}
    assert {"cut", "held", "late"} <= found


# --- how they are carried out

GET = Point("worker->backend", "GET meta")


class Scene:
    """A stage, its conductor and a passage in one: writes down what is done to it."""

    held = 0.01

    def __init__(self) -> None:
        self.done: list[Any] = []
        self.conductor = self
        self.left = False  # the client leaves while its request is late
        self.breaks = False

    def __setattr__(self, name: str, value: Any) -> None:
        if name == "asleep":
            self.done.append(("asleep", value))
        super().__setattr__(name, value)

    def __getattr__(self, name: str) -> Any:
        return lambda *args, **more: self.done.append((name, *args, *more))

    async def restart_broker(self, _: float) -> None:
        self.done.append("killed")
        await asyncio.sleep(0)
        if self.breaks:
            raise RuntimeError("it does not start")
        self.done.append("started")


async def strike(scene: Scene, action: str, moment: Moment) -> Striker:
    striker = Striker(cast("Any", scene))
    request = Request([Command((b"GET", b"meta"), b"")], GET.label, 1, b"")
    striker(Hit(Cell(GET, moment, action), cast("Any", scene), request))
    return striker


def carried_out(scene: Scene, action: str, moment: Moment = "before") -> tuple[list[Any], Striker]:
    async def main() -> Striker:
        striker = await strike(scene, action, moment)
        async with asyncio.timeout(5):
            while striker.active:
                await asyncio.gather(*striker.tasks, return_exceptions=True)
                await asyncio.sleep(0)
        return striker

    striker = asyncio.run(main())
    return scene.done, striker


LATE = [("asleep", True), ("let", "upstream")]


@pytest.mark.parametrize(
    ("action", "moment", "done"),
    [
        ("cut", "before", [("cut",)]),
        ("reset", "after", [("reset",)]),
        ("truncated", "after", [("tear",)]),
        ("never", "after", []),
        ("held", "after", [("let", "downstream")]),
        ("late", "before", [*LATE, ("asleep", False)]),
        ("kill", "before", [("kill", "worker"), ("cut",)]),
        ("kill-child", "after", [("kill", "worker", "children_only"), ("let", "downstream")]),
        ("stop", "before", [("signal", "worker", SIGSTOP), ("let", "upstream"), ("signal", "worker", SIGCONT)]),
        ("stop", "after", [("signal", "worker", SIGSTOP), ("let", "downstream"), ("signal", "worker", SIGCONT)]),
        ("restart-broker", "before", [("freeze",), "killed", "started", ("thaw",)]),
        ("loading", "before", [("refuse", b"-LOADING Redis is loading the dataset in memory\r\n")]),
        ("maxclients", "before", [("refuse", b"-ERR max number of clients reached\r\n"), ("cut",)]),
    ],
)
def test_an_action_is_carried_out(action: str, moment: Moment, done: list[Any]) -> None:
    found, striker = carried_out(Scene(), action, moment)
    assert (found, striker.errors, striker.active) == (done, [], False)


def test_a_connection_whose_client_has_left_is_closed_after_its_late_request() -> None:
    scene = Scene()
    scene.left = True
    assert carried_out(scene, "late")[0] == [*LATE, ("asleep", False), ("cut",)]


@pytest.mark.parametrize("left", [False, True])
def test_a_trial_that_ends_wakes_what_is_late(left: bool) -> None:
    scene = Scene()
    scene.held, scene.left = 60.0, left

    async def main() -> None:
        striker = await strike(scene, "late", "before")
        await asyncio.sleep(0)
        assert striker.active
        await striker.end()
        await asyncio.gather(*striker.tasks, return_exceptions=True)
        assert striker.errors == []

    asyncio.run(main())
    assert scene.done == [("asleep", True), ("asleep", False), *([("cut",)] if left else [])]


def test_a_server_that_does_not_come_back_is_an_error_and_nothing_stays_frozen() -> None:
    scene = Scene()
    scene.breaks = True
    found, striker = carried_out(scene, "restart-broker")
    assert found == [("freeze",), "killed", ("thaw",)]
    assert [str(error) for error in striker.errors] == ["it does not start"]
