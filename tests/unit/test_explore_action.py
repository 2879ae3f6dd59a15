"""Which actions make sense at which points, and how they are carried out there."""

from pathlib import Path

import pytest

from brownout.explore.bounds import Bounds
from brownout.explore.experiment import DEFAULTS, STOCK, WORKLOADS, Experiment
from brownout.explore.maps.action import ACTIONS, STANDARD, Action, cells, chosen
from brownout.explore.maps.cell import Cell
from brownout.explore.plans import FAULTS, injection_of
from brownout.plan.near import UnknownName
from brownout.plan.point import MOMENTS, Place, Point
from brownout.plan.topology import Topology
from brownout.wire.redis.refusals import STATES

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

EXPERIMENT = Experiment(STOCK, Path(), DEFAULTS, WORKLOADS["two-workers"], "brownout.explore.stock.work")
BOUNDS = Bounds.of({})


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
        assert (name in FAULTS) is (action.state is None)
        assert action.state is None or action.state in STATES
        assert (action.name, {*action.moments} <= {*MOMENTS}) == (name, True)


def test_they_are_chosen_by_name_in_one_order() -> None:
    assert [action.name for action in chosen(["oom", "cut", "standard", "reset", "cut"])] == [*STANDARD, "reset"]
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


@pytest.mark.parametrize("action", ACTIONS.values(), ids=ACTIONS)
def test_an_action_is_a_fault_of_a_scenario_at_the_same_point(action: Action) -> None:
    point = Point("worker-1->broker", "ZADD unacked_index;HSET unacked", 2)
    for moment in action.moments:
        made = injection_of(EXPERIMENT, Cell(point, moment, action.name), BOUNDS)
        made.check(Topology())
        place = made.when.place
        assert place is not None
        assert (place.edge, place.command, place.nth, place.moment) == (point.edge, point.label, 2, moment)
        assert (made.heal is not None) is (action.name in ("held", "late", "stop", "restart-broker"))
    idle = injection_of(EXPERIMENT, Cell(Point("worker-1->broker", "BRPOP celery[idle]"), "before", "cut"), BOUNDS)
    assert idle.when.place == Place("worker-1->broker", "BRPOP celery")


def test_a_pool_without_processes_has_none_to_kill() -> None:
    names = {pool: {action.name for action in chosen(["all"], pool)} for pool in ("prefork", "threads", "gevent")}
    assert names["prefork"] - names["threads"] == {"kill-child"}
    assert names["threads"] == names["gevent"]
