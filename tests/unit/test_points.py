"""Points as triggers: what they match, what is refused where it is written, and who is told when one is reached."""

import json
from collections.abc import Callable
from dataclasses import replace

import pytest

from brownout import Lab, at_least_once, authoring
from brownout.faults import cut, error_reply, hold, kill, lose_reply, refuse, reset
from brownout.plan.codec import decode, encode
from brownout.plan.near import UnknownName
from brownout.plan.plan import Injection, Plan
from brownout.plan.point import Place
from brownout.plan.topology import Topology, Workers
from brownout.plan.trigger import Trigger, after, at, point, started
from brownout.run.points import Points
from brownout.wire.redis.resp import encode as resp
from brownout.wire.redis.watch import Hit, Watch
from tests.unit.conducted import BRPOP, GET, NIL, ONE, POPPED, PUBLISH, Line, armed, on_a_loop

ATOM = "ZADD unacked_index;HSET unacked"
TOPOLOGY = Topology(Workers(2), relay=True)


@pytest.mark.parametrize(
    ("edge", "command", "matches"),
    [
        ("worker-1->broker", "ZADD", True),
        ("worker-1->broker", "ZADD unacked_index", True),
        ("worker-1->broker", ATOM, True),
        ("worker->broker", "ZADD", True),
        ("worker-2->broker", "ZADD", False),
        ("work->broker", "ZADD", False),
        ("worker-1->backend", "ZADD", False),
        ("worker-1->broker", "HSET", False),
        ("worker-1->broker", "ZADD unacked", False),
    ],
)
def test_a_place_matches_an_edge_or_its_role_and_a_command_or_its_first(edge: str, command: str, matches: bool) -> None:
    assert Place(edge, command).matches("worker-1->broker", ATOM) is matches


def test_an_idle_brpop_is_matched_as_it_is_called() -> None:
    assert Place("worker->broker", "BRPOP celery").matches("worker->broker", "BRPOP celery[idle]")
    assert Place("worker->broker", "BRPOP").matches("worker->broker", "BRPOP celery[idle]")


def test_a_point_goes_through_json_and_back() -> None:
    trigger = point("worker->broker", "zadd unacked_index", nth=3, moment="after")
    again = decode(Trigger, json.loads(json.dumps(encode(trigger))))
    assert again == trigger
    assert again.place == trigger.place == Place("worker->broker", "ZADD unacked_index", 3, "after")
    assert str(again) == "point worker->broker ZADD unacked_index #3 after"
    assert started().place is None


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: point("worker->broker", "ZADD", moment="befor"), "did you mean 'before'"),  # type: ignore[arg-type]
        (lambda: point("worker->broker", "ZADD", nth=0), "counted from 1"),
        (lambda: point("broker", "ZADD"), "an edge is written"),
        (lambda: point("worker->broker", " "), "by its first command"),
        (lambda: point("worker->broker", "multi"), "transaction is named by"),
        (lambda: point("client->backend", "PUSH meta"), 'only moment is "after"'),
    ],
)
def test_what_is_no_point_is_refused_where_it_is_written(make: Callable[[], object], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        make()


ZADD = point("worker-1->broker", "ZADD")


@pytest.mark.parametrize(
    ("injection", "says"),
    [
        (Injection(kill(), "worker-1", point("worker-1->brokr", "ZADD")), "did you mean 'worker-1->broker'"),
        (Injection(kill(), "worker-1", point("worker-3->broker", "ZADD")), "no edge to Redis is called"),
        (Injection(kill(), "worker-1", point("client->api", "GET")), "no edge to Redis is called"),
        (Injection(kill(), "worker-1", started(), point("worker-3->broker", "ZADD")), "no edge to Redis"),
        (Injection(hold(), "worker-1->broker", started()), r"when=point\(edge, command\), not worker started"),
        (Injection(hold(), "worker-1->broker", at(1)), "strikes a message on the wire"),
        (Injection(hold(), "worker->broker", ZADD), "leave `on` out"),
        (Injection(lose_reply(), "worker-1->broker", ZADD), 'at the moment "after", not "before"'),
        (Injection(kill(), "worker-1", started(), then=True), "follows another fault, so it needs a point"),
    ],
)
def test_an_injection_at_a_point_is_checked(injection: Injection, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        injection.check(TOPOLOGY)


@pytest.mark.parametrize(
    ("injection", "its_own"),
    [
        (Injection(cut(), "worker-1->broker", ZADD), True),
        (Injection(reset(), "worker->broker", point("worker->broker", "ZADD")), True),
        (Injection(error_reply("oom"), "relay->broker", point("relay->broker", "LPUSH")), True),
        (Injection(cut(), "worker->broker", ZADD), False),
        (Injection(cut(), "worker-1->broker", started()), False),
        (Injection(refuse(), "worker-1->broker", ZADD), False),
        (Injection(kill(), "worker-1", point("worker->broker", "ZADD"), ZADD), False),
    ],
)
def test_a_fault_strikes_the_message_or_its_target(injection: Injection, its_own: bool) -> None:
    injection.check(TOPOLOGY)
    assert injection.at_its_point is its_own


def test_a_plan_knows_all_that_it_waits_for() -> None:
    load = authoring.post("/x", every=1, count=1).on(started())
    plan = Plan(load=(load,), injections=(Injection(kill(), "worker-1", ZADD, after(1)),))
    assert plan.triggers == (started(), ZADD, after(1))


def test_the_first_injection_follows_no_other() -> None:
    load, kills = authoring.post("/x", every=1, count=1), Injection(kill(), "worker-1", ZADD, then=True)
    plan = Plan(TOPOLOGY, (load,), (kills,), (at_least_once(),))
    with pytest.raises(ValueError, match="there is none before it"):
        plan.validated()
    two = replace(plan, injections=(replace(kills, then=False), kills))
    assert Plan.from_json(two.to_json()).injections[1].then


def test_a_load_on_an_edge_that_there_is_not_is_refused() -> None:
    load = authoring.post("/x", every=1, count=1).on(point("worker-2->broker", "ZADD"))
    with pytest.raises(UnknownName, match="no edge to Redis"):
        Plan(load=(load,), promises=(at_least_once(),)).validated()


def test_a_place_that_was_not_reached_lists_those_that_were_the_near_ones_first() -> None:
    reached = {("worker-1->broker", f"GET {n:02}", "before"): n for n in range(20)}
    text = Place("worker-1->broker", "ZADD unacked_indx").missed(
        {**reached, ("worker-1->broker", "ZADD unacked_index", "before"): 4}  # type: ignore[dict-item]
    )
    assert text.startswith(
        "point worker-1->broker ZADD unacked_indx #1 before was not reached (0 matching points were); "
    )
    assert "points reached: worker-1->broker ZADD unacked_index before x4, " in text
    assert text.endswith(", and 9 more")
    assert Place("worker->broker", "GET 03", nth=9).missed(reached).split("; ")[0].endswith("(3 matching points were)")  # type: ignore[arg-type]
    assert Place("worker->broker", "GET").missed({}).endswith("points reached: none")


# --- the conductor's watches


class Met(list[Hit]):
    def __init__(self, *, keeps: bool = True) -> None:
        self.keeps = keeps

    def __call__(self, hit: Hit) -> bool:
        self.append(hit)
        return self.keeps


@on_a_loop
async def test_a_watch_keeps_the_nth_request_of_all_its_edges_and_nothing_after_it() -> None:
    conductor, _ = armed()
    met = Met()
    conductor.watch(Watch(Place("worker->broker", "ZADD", 3), met))
    one, two = Line(conductor, "worker-1->broker"), Line(conductor, "worker-2->broker")
    one.both("ZADD a")
    two.both("ZADD b")
    Line(conductor, "relay->broker").both("ZADD c")
    one.ask("ZADD a")
    two.both("ZADD a")
    (hit,) = met
    assert (hit.passage, hit.point.full, hit.stream) == (one.passage, "worker-1->broker/ZADD a#2", "upstream")
    assert [len(line.passed) for line in (one, two)] == [2, 4]
    hit.let()
    assert len(one.passed) == 3
    assert conductor.reached["worker-1->broker", "ZADD a", "before"] == 2


@on_a_loop
async def test_the_nth_reply_is_the_reply_to_the_nth_request() -> None:
    conductor, _ = armed()
    met = Met()
    conductor.watch(Watch(Place("worker->broker", "GET", 2, "after"), met))
    one, two = Line(conductor, "worker-1->broker"), Line(conductor, "worker-2->broker")
    one.ask("GET a")
    two.ask("GET b")
    two.tell(resp("x"))
    assert [hit.passage for hit in met] == [two.passage]
    one.tell(resp("x"))
    assert len(met) == 1
    assert (two.passed, one.passed) == (["GET b"], ["GET a", "GET a answered"])


@on_a_loop
async def test_a_brpop_is_met_when_it_is_asked_and_when_it_delivers() -> None:
    conductor, _ = armed()
    asked, delivered = Met(keeps=False), Met(keeps=False)
    conductor.watch(Watch(Place("worker->broker", "BRPOP", 2), asked))
    conductor.watch(Watch(Place("worker->broker", "BRPOP celery", 2, "after"), delivered))
    line = Line(conductor, "worker->broker")
    for count, reply in enumerate((NIL, POPPED, NIL, POPPED)):
        assert len(delivered) == 0
        assert len(asked) == (count >= 2)
        line.both(BRPOP, reply)
    assert (len(asked), len(delivered)) == (1, 1)
    assert not conductor.watches


@on_a_loop
async def test_a_request_that_is_frozen_is_counted_once() -> None:
    conductor, _ = armed()
    met = Met()
    conductor.watch(Watch(Place("worker->broker", "ZADD", 2), met))
    line, other = Line(conductor, "worker->broker"), Line(conductor, "worker->broker")
    conductor.freeze()
    line.ask("ZADD a")
    assert line.passed == []
    conductor.thaw()
    assert line.passed == ["ZADD a"]
    assert met == []
    other.ask("ZADD a")
    assert len(met) == 1


@on_a_loop
async def test_a_place_where_no_fault_strikes_changes_nothing() -> None:
    """A load may begin at a point, and a fault may heal at one."""
    conductor, _ = armed(order=(PUBLISH, GET))
    met = Met(keeps=False)
    conductor.watch(Watch(Place("client->broker", "LPUSH"), met, strikes=False))
    Line(conductor, "client->broker").ask("LPUSH celery m")
    assert (len(met), conductor.hits, conductor.turns.over, conductor.watches) == (1, [], False, [])
    Line(conductor, "client->broker").both("HELLO 3")
    assert [point.label for point in conductor.trace] == ["LPUSH celery"]


@on_a_loop
async def test_a_point_counts_before_its_place_is_ready_and_is_reached_after_that() -> None:
    conductor, _ = armed()
    early, late, reply = Met(keeps=False), Met(keeps=False), Met(keeps=False)
    ready: list[bool] = []
    for nth, met in ((1, early), (2, late)):
        conductor.watch(Watch(Place("worker->broker", "ZADD", nth), met, lambda: bool(ready)))
    conductor.watch(Watch(Place("worker->broker", "ZADD", 1, "after"), reply, lambda: bool(ready)))
    line = Line(conductor, "worker->broker")
    line.ask("ZADD a")
    ready.append(True)
    line.tell(ONE)
    assert len(reply) == 1, "its request came too early, and its reply in time"
    line.both("ZADD a")
    assert (early, len(late)) == ([], 1)


@on_a_loop
async def test_what_nobody_waits_for_any_more_passes() -> None:
    conductor, _ = armed()
    met = Met()
    conductor.watch(Watch(Place("worker->broker", "ZADD"), met))
    conductor.forget()
    line = Line(conductor, "worker->broker")
    line.both("ZADD a")
    assert (met, len(line.passed)) == ([], 2)
    assert conductor.jotted  # in haste


def test_points_need_the_built_in_wire(tmp_path: object) -> None:
    class Other:
        kind = "toxiproxy"

    plan = Plan(injections=(Injection(kill(), "worker-1", ZADD),))
    with pytest.raises(LookupError, match="ZADD #1 before needs the builtin wire; the wire of this trial is tox"):
        Points.of(plan, Other(), None, None)  # type: ignore[arg-type]
    assert Points.of(Plan(), Other(), None, None) is None  # type: ignore[arg-type]


def test_the_verb_takes_its_target_from_the_point() -> None:
    lab = Lab.__new__(Lab)
    lab.plan = Plan(TOPOLOGY)
    lab.inject(cut(), when=ZADD)
    assert [injection.on for injection in lab.plan.injections] == ["worker-1->broker"]
    for fault, when in ((kill(), ZADD), (cut(), started())):
        with pytest.raises(ValueError, match="needs a target"):
            lab.inject(fault, when=when)
    with pytest.raises(ValueError, match="strikes a message on the wire"):
        lab.inject(hold(), on="worker-1->broker", when=started())
