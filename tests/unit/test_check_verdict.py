"""Verdicts: how they merge, what excuses them, and single traps of single checkers."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from brownout.check import promises as p
from brownout.check.registry import finder_of, judge, judge_all
from brownout.check.verdict import Validity, merge
from brownout.history.event import Event
from brownout.history.view import History
from brownout.plan.near import UnknownName
from brownout.plan.promise import Promise
from tests.unit.check_specimens import MS, PROMISED, Story, healthy, plus


@pytest.mark.parametrize(
    ("given", "merged"),
    [
        ([], "unknown"),
        (["valid"], "valid"),
        (["valid", "unknown"], "unknown"),
        (["unknown", "invalid", "valid"], "invalid"),
    ],
)
def test_invalid_goes_before_unknown_before_valid(given: list[Validity], merged: Validity) -> None:
    assert merge(given) == merged


def test_an_unknown_promise_is_an_error_and_no_verdict() -> None:
    with pytest.raises(UnknownName, match="did you mean 'drained'"):
        judge(healthy(), Promise("draned"))


def test_verdicts_keep_the_order_of_their_promises() -> None:
    verdicts = judge_all(healthy(), PROMISED.values())
    assert [v.promise for v in verdicts] == [str(promise) for promise in PROMISED.values()]


def test_a_kind_has_a_first_finder() -> None:
    assert (finder_of("lost"), finder_of("duplicate"), finder_of("stalled")) == (
        *("at_least_once", "at_most_once", "loop_never_stalls"),
    )


def test_a_known_hole_that_shows_is_valid_and_is_kept_for_the_report() -> None:
    verdict = judge(healthy(), PROMISED["must_show"])
    assert verdict.validity == "valid"
    assert {a.kind for a in verdict.anomalies} == {"duplicate"}


def test_a_known_hole_hides_no_other_anomaly() -> None:
    story = Story()
    for n in (1, 2):
        story.post(10 * n, f"op-{n}", f"t{n}")
    story.run(5000, "t2", key="op-2")
    story.say(9000, "run", "drained", ok=True)
    under = p.at_least_once(within="1s")
    assert judge(story.history, p.must_show("lost", under=p.at_least_once())).validity == "valid"
    verdict = judge(story.history, p.must_show("lost", under=under))
    assert (verdict.validity, [a.kind for a in verdict.anomalies]) == ("invalid", ["late"])


def test_a_hole_that_does_not_show_is_told_by_the_job_that_the_fault_struck() -> None:
    """The first job was done before, the last one came after it."""
    story = Story()
    for n, at in enumerate((10, 200, 250, 900)):
        story.post(at, f"op-{n}", f"t{n}")
        story.run(at + 100, f"t{n}", key=f"op-{n}")
    story.fault(270, 800)
    (missing,) = judge(story.history, p.must_show("duplicate")).anomalies
    assert {event.key for event in missing.witness if event.key} == {"op-2"}
    story.events = [event for event in story.events if event.source != "nemesis"]
    (missing,) = judge(story.history, p.must_show("duplicate")).anomalies
    assert {event.key for event in missing.witness if event.key} == {"op-0"}


def test_what_the_inner_judge_does_not_know_is_unknown() -> None:
    story = Story()
    story.post(10, "op-1", "t1")
    assert judge(story.history, p.must_show("lost")).validity == "unknown"


def _fault(*kinds: str, met: bool = True) -> History:
    events = [Event((100 + n) * MS, "nemesis", kind, data={"fault": "kill"}) for n, kind in enumerate(kinds)]
    story = Story()
    story.post(99 if met else 5, "op-1", "t1", took=5)
    story.say(120 if met else 20, "effects", "effect", "op-1", "t1")
    story.say(121, "run", "note")
    return History([*events, *story.events])


@pytest.mark.parametrize(
    ("history", "why"),
    [
        (_fault("fault-start", "fault-stop"), "never seen to act"),
        (_fault("fault-start", "fault-acted"), "never healed"),
        (_fault("fault-start", "fault-acted", "fault-stop", met=False), "no operation was in flight during"),
        (_fault(), "no fault was injected"),
    ],
)
def test_a_fault_that_nobody_met_proves_nothing(history: History, why: str) -> None:
    verdict = judge(history, p.faults_acted())
    assert verdict.validity == "unknown"
    assert why in verdict.why
    assert judge(_fault("fault-start", "fault-acted", "fault-stop"), p.faults_acted()).validity == "valid"


@pytest.mark.parametrize("kind", ["ended", "failed"])
def test_an_operation_without_an_effect_is_in_flight_until_its_task_is_over(kind: str) -> None:
    def verdict(at: int) -> str:
        """The fault lasts from 100 to 102 ms; the operation is acknowledged at 10 ms, and over at `at`."""
        fault = [event for event in _fault("fault-start", "fault-acted", "fault-stop") if event.source == "nemesis"]
        story = Story()
        story.post(5, "op-1", "t1", took=5)
        story.say(at, "worker-1", kind, "op-1", "t1", **({"state": "SUCCESS"} if kind == "ended" else {}))
        story.say(121, "run", "note")
        return judge(History([*fault, *story.events]), p.faults_acted()).validity

    assert verdict(110) == "valid"
    assert verdict(50) == "unknown"


def _struck(*targets: str, unseen: int) -> History:
    """Two refusals, of which one was not seen to act."""
    story = Story()
    story.post(1, "op-1", "t1")
    for n, target in enumerate(targets, 1):
        told = {"fault": "refuse()", "id": f"refuse@{target}#{n}"}
        story.say(10 * n, "nemesis", "fault-start", target=target, **told)
        if n != unseen:
            story.say(10 * n + 1, "nemesis", "fault-acted", evidence="1 closed", **told)
        story.say(100 + n, "nemesis", "fault-stop", **told)
    return story.history


def test_it_says_which_fault_was_not_seen_to_act() -> None:
    for unseen, edge in ((1, "api->broker"), (2, "relay->broker")):
        verdict = judge(_struck("api->broker", "relay->broker", unseen=unseen), p.faults_acted())
        assert verdict.why == f"refuse() on {edge} was never seen to act"
        verdict = judge(_struck("api->broker", "api->broker", unseen=unseen), p.faults_acted())
        assert verdict.why == f"refuse() on api->broker (injection {unseen}) was never seen to act"
    assert "api->broker was never seen to act; refuse() on relay" in judge(
        History(e for e in _struck("api->broker", "relay->broker", unseen=0) if e.kind != "fault-acted"),
        p.faults_acted(),
    ).why  # fmt: skip


TOXIC = {"edge": "api->broker", "toxic": "latency_both"}
SHOWN = "the toxic 'latency_both' on api->broker"


@pytest.mark.parametrize(
    ("told", "why"),
    [
        ({150: "toxic-removed"}, ""),
        ({}, f"{SHOWN} was never removed"),
        ({3200: "toxic-removed"}, f"{SHOWN} stayed for 3 s after its fault-stop"),
        ({3200: "toxic-acted"}, f"{SHOWN} was never removed"),
        (
            {150: "toxic-removed", 210: "toxic-acted"},
            f"{SHOWN} acted after it was removed",
        ),
    ],
    ids=["healed", "forgotten", "late", "forgotten and acting", "removed and acting"],
)
def test_a_heal_that_was_forgotten_for_an_edge_makes_the_schedule_unknown(told: dict[int, str], why: str) -> None:
    """The other edge of the target is healed, so the heal itself reports nothing."""
    story = Story()
    story.post(90, "op-1", "t1")
    story.fault(100, 200, "latency(0.2)")
    for edge in ("api->broker", "api->backend"):
        story.say(101, "wire", "toxic-added", edge=edge, toxic="latency_both", type="latency")
        story.say(120, "wire", "toxic-acted", edge=edge, toxic="latency_both", connection=1)
    story.say(150, "wire", "toxic-removed", edge="api->backend", toxic="latency_both")
    for at, kind in told.items():
        story.say(at, "wire", kind, **TOXIC)
    story.say(9000, "run", "note")
    verdict = judge(story.history, p.faults_acted())
    assert verdict.validity == ("unknown" if why else "valid")
    assert verdict.why == (f"{why}: a mistake of the harness" if why else "1 faults acted")


def test_a_toxic_may_last_as_long_as_another_fault_in_whose_time_it_was_added() -> None:
    story = Story()
    story.post(90, "op-1", "t1")
    story.fault(100, 900, "refuse()")
    story.fault(110, 300, "latency(0.2)")
    story.say(120, "wire", "toxic-added", **TOXIC)
    story.say(890, "wire", "toxic-removed", **TOXIC)
    story.say(9000, "run", "note")
    assert judge(story.history, p.faults_acted()).validity == "valid"


def test_a_latency_is_an_interval() -> None:
    """What the client, the API and the broker may have waited for a CPU is in doubt, and no more than that."""
    story = Story()
    for n in range(60):
        story.get(n * 20, f"h-{n}", took=200 if n == 45 else 5)
    story.say(600, "nemesis", "fault-start", fault="f", id="f#1", target="t")
    story.say(1190, "nemesis", "fault-stop", fault="f", id="f#1")
    slow, promise = History(story.events), p.p99("/health-check", times=3, floor="50ms")
    assert judge(slow, promise).validity == "invalid"
    for late, validity in ((190, "unknown"), (100, "invalid")):
        assert judge(plus(slow, 1099, "run", "machine-late", ms=late), promise).validity == validity
        since = int((1099 - late) * MS)
        for source, mattered in (("api", True), ("harness", True), ("worker-1", False)):
            told = plus(slow, 1099, "run", "waited", since=since, ms={source: late})
            assert judge(told, promise).validity == (validity if mattered else "invalid"), (late, source)


def test_a_machine_that_is_busy_all_the_time_is_judged_by_the_ratio_of_wall_times() -> None:
    """Control and faulted requests are slow alike: the promise is kept, and nothing about the machine excuses it."""
    story = Story()
    for n in range(60):
        story.get(n * 200, f"h-{n}", took=120)
    story.say(6000, "nemesis", "fault-start", fault="f", id="f#1", target="t")
    story.say(11_900, "nemesis", "fault-stop", fault="f", id="f#1")
    busy = plus(History(story.events), 12_000, "run", "waited", since=0, ms={"api": 12_000})
    assert judge(busy, p.p99("/health-check", times=3, floor="50ms")).validity == "valid"


def test_each_timed_promise_is_in_doubt_by_its_margin() -> None:
    """Two seconds were allowed and 2.5 taken: 400 ms of a busy machine cannot explain that, 600 ms can."""
    story = Story()
    story.fault(1, 5)
    story.post(10, "op-1", "t1", took=2500)
    story.say(5010, "effects", "effect", "op-1", "t1")
    story.say(6000, "worker-1", "shutting-down", how="Warm")
    story.say(8500, "worker-1", "shutdown")
    story.say(9000, "run", "note")
    timed = (p.answers({202}, within="2s"), p.at_least_once(within="2s"), p.recovers(within="4.5s"),
             p.graceful(within="2s"))  # fmt: skip
    for promise, end in zip(timed, (2510, 5010, 5010, 8500), strict=True):
        for ms, validity in ((400, "invalid"), (600, "unknown")):
            told = plus(story.history, end, "run", "waited", since=int((end - ms) * MS), ms={"broker": ms})
            verdict = judge(told, promise)
            assert verdict.validity == validity, promise
            assert verdict.busy_ms == (ms if validity == "unknown" else 0)


def test_over_seconds_the_longest_wait_of_one_thread_counts_and_in_a_moment_their_sum() -> None:
    """Five processes that each poll a little are late together for a second, and the job waited for one of them."""
    ms = {"api": 300, "harness": 200, "broker": 200, "relay": 100, "worker-1": 200}
    for took, within, validity in ((2500, "2s", "invalid"), (490, "100ms", "unknown")):
        story = Story()
        story.post(10, "op-1", "t1", took=took)
        story.say(9000, "run", "note")
        told = plus(story.history, took, "run", "waited", since=0, ms=ms, longest=300)
        assert judge(told, p.answers({202}, within=within)).validity == validity, took


def test_two_witnesses_of_one_wait_are_one_wait() -> None:
    """300 ms of 1 s: the lower end is 700 ms, over a limit of 500 ms, though two witnesses tell of the time."""
    story = Story()
    story.post(10, "op-1", "t1", took=1000)
    story.say(9000, "run", "note")
    late = plus(story.history, 800, "run", "machine-late", ms=300)
    both = plus(late, 801, "run", "waited", since=500 * MS, ms={"api": 300}, longest=300, late_at=800 * MS)
    assert judge(both, p.answers({202}, within="500ms")).validity == "invalid"
    assert judge(both, p.answers({202}, within="800ms")).validity == "unknown"


def test_a_wait_counts_although_it_began_before_the_look_that_saw_its_end() -> None:
    story = Story()
    story.post(0, "op-1", "t1", took=150)
    story.say(9000, "run", "note")
    told = plus(story.history, 340, "run", "waited", since=140 * MS, ms={"api": 145}, longest=145)
    assert judge(told, p.answers({202}, within="50ms")).validity == "unknown"


def test_a_backlog_is_in_doubt_when_the_machine_was_busy_for_as_long_as_it_lasted() -> None:
    story = Story()
    for at, waiting in ((100, 0), (300, 4), (500, 12), (700, 3), (900, 0)):
        story.sample(at, **{f"t{n}": "celery" for n in range(waiting)})
    assert judge(story.history, p.backlog_within(10)).validity == "invalid"
    for ms, validity in ((250, "unknown"), (150, "invalid")):
        told = plus(story.history, 500, "run", "waited", since=100 * MS, ms={"worker-1": ms}, longest=ms)
        assert judge(told, p.backlog_within(10)).validity == validity


def test_a_client_that_gave_up_waiting_is_judged_by_its_time_and_a_broken_connection_is_not() -> None:
    story = Story()
    story.say(0, "client", "invoke", "op-1", op="http", method="POST", path="/process-data")
    story.say(15_000, "client", "info", "op-1", error="ReadTimeout: timed out")
    story.say(15_100, "run", "note")
    promise = p.answers({202})
    for ms, validity in ((4_000, "invalid"), (6_000, "unknown")):
        assert judge(plus(story.history, 14_000, "run", "machine-late", ms=ms), promise).validity == validity
    broken = [replace(e, data={"error": "ReadError"}) if e.kind == "info" else e for e in story.history]
    assert judge(plus(History(broken), 14_000, "run", "machine-late", ms=6_000), promise).validity == "invalid"


def test_a_process_that_is_not_ready_yet_cannot_stall() -> None:
    """It imports and opens what it needs; each process of the API is judged from its own beginning."""
    begun = next(event for event in healthy().events if event.kind == "ready" and event.source == "api")
    slow = {"ms": 150.0, "stack": ["an import"]}
    before = replace(begun, at=begun.at - 1, kind="stall", data=slow)
    assert judge(History([before, *healthy().events]), p.loop_never_stalls("100ms")).validity == "valid"
    for other in (replace(before, at=begun.at + 1), replace(before, pid=begun.pid + 1)):
        assert judge(History([*healthy().events, other]), p.loop_never_stalls("100ms")).validity == "invalid"


def test_a_stall_is_an_interval() -> None:
    """Its upper end is how long the loop stood still, its lower end is without the time that it waited for a CPU."""
    stall = plus(healthy(), 400, "api", "stall", ms=150.0, starved_ms=60.0, stack=[])
    for limit, validity in (("160ms", "valid"), ("100ms", "unknown"), ("90ms", "invalid")):
        assert judge(stall, p.loop_never_stalls(limit)).validity == validity
    starved = plus(healthy(), 400, "api", "starved", ms=150.0, starved_ms=149.0)
    assert judge(starved, p.loop_never_stalls("100ms")).validity == "unknown"
    behind = plus(stall, 410, "run", "waited", since=310 * MS, ms={"api": 80.0, "worker-1": 900.0}, longest=80.0)
    assert judge(behind, p.loop_never_stalls("90ms")).validity == "unknown", "it waited for a thread without a CPU"
    assert judge(behind, p.loop_never_stalls("65ms")).validity == "invalid"
    asleep = plus(stall, 400, "run", "machine-late", ms=120)  # the whole machine stood still
    assert judge(asleep, p.loop_never_stalls("90ms")).validity == "unknown"


def test_a_loop_that_waits_in_a_socket_waits_for_those_who_answer() -> None:
    """Redis, the network proxy and the harness may have had no CPU; a loop that computes waits for none of them."""
    for inner, validity in (("redis/_parsers/socket.py:64 read", "unknown"), ("app.py:7 handler", "invalid")):
        stall = plus(healthy(), 400, "api", "stall", ms=150.0, starved_ms=10.0, stack=["app.py:3 buy", inner])
        behind = plus(stall, 410, "run", "waited", since=240 * MS, ms={"broker": 100.0}, longest=100.0)
        assert judge(behind, p.loop_never_stalls("90ms")).validity == validity
        assert judge(stall, p.loop_never_stalls("90ms")).validity == "invalid"


def test_one_stall_is_one_stall_however_often_it_was_told() -> None:
    """It is told after 1, 2 and 4 seconds and at its end; the next stall is another one."""
    history = healthy()
    for at, ms, ongoing in ((1400, 1000, True), (2400, 2000, True), (2900, 2500, False), (3300, 150, False)):
        history = plus(history, at, "api", "stall", ms=float(ms), stack=["redis/socket.py:7 read"], own="app.py:3 buy",
                       ongoing=ongoing)  # fmt: skip
    found = judge(history, p.loop_never_stalls("100ms")).anomalies
    assert [anomaly.sentence for anomaly in found] == [
        "The event loop of api stood still for 2.5 s (limit 100 ms), in app.py:3 buy.",
        "The event loop of api stood still for 150 ms (limit 100 ms), in app.py:3 buy.",
    ]
    never_ended = plus(healthy(), 1400, "api", "stall", ms=1000.0, ongoing=True)
    assert len(judge(never_ended, p.loop_never_stalls("100ms")).anomalies) == 1


def test_few_requests_show_no_good_latency() -> None:
    few = History(e for e in healthy() if not (e.key or "").startswith("get-") or (e.key or "") < "get-000052")
    verdict = judge(few, p.p99("/health-check"))
    assert verdict.validity == "unknown"
    assert "only 50 requests before" in verdict.why


def test_an_outcome_past_the_end_of_the_trial_is_not_awaited() -> None:
    story = Story()
    story.post(10, "op-1", "t1")
    story.say(100, "client", "invoke", "op-2", op="http", method="POST", path="/process-data")
    assert judge(story.history, p.answers({202}, within="1s")).validity == "valid"
    assert judge(story.history, p.conservation()).validity == "unknown"


def test_a_stray_effect_may_belong_to_an_operation_whose_task_nobody_learnt() -> None:
    story = Story()
    story.post(10, "op-1", "t1", "info", None)
    story.say(50, "effects", "effect", task="t1", name="processed")
    assert judge(story.history, p.conservation()).validity == "valid"
    story.say(60, "effects", "effect", task="t9", name="processed")
    assert judge(story.history, p.conservation()).validity == "invalid"
    assert judge(story.history, p.conservation(besides=["processed"])).validity == "valid"


def test_countdowns_that_are_spread_pass_and_those_that_are_not_fail() -> None:
    def drawn(values: list[int]) -> Validity:
        story = Story()
        for n, value in enumerate(values):
            story.say(n, "worker-1", "retry", task=f"t{n}", retries=3, countdown=value)
        return judge(story.history, p.backoff_within()).validity

    assert drawn([n % 9 for n in range(900)]) == "valid"
    for seed in range(20):
        chance = random.Random(seed)
        assert drawn([chance.randrange(9) for _ in range(900)]) == "valid"
    assert drawn([n % 5 for n in range(900)]) == "invalid"
    assert drawn([n % 5 for n in range(190)]) == "valid"  # too few to tell


def test_the_recovery_bound_is_computed_from_the_configuration() -> None:
    assert p.recovery_bound(5, slack=0) == 105
    assert p.recovery_bound(5, 1, 1, mutex=True, slack=0) == 306


def test_a_key_inside_a_text_is_seen() -> None:
    story = Story()
    for n in (1, 2):
        story.post(10 * n, f"op-00000{n}", f"t{n}")
    story.say(90, "client", "read", "op-000001", "t1", state="SUCCESS", result='{"echo": "op-000002"}')
    (anomaly,) = judge(story.history, p.no_cross_talk()).anomalies
    assert anomaly.sentence == "The status for op-000001 carries the key of op-000002."


def test_a_promise_may_be_about_one_task() -> None:
    story = Story()
    story.say(1, "worker-1", "started", task="t1", name="a", retries=7)
    story.say(2, "worker-1", "started", task="t2", name="b", retries=0)
    assert judge(story.history, p.attempts_within(3)).validity == "invalid"
    assert judge(story.history, p.attempts_within(3, task="b")).validity == "valid"


def test_a_status_that_names_the_task_alone_is_its_operations() -> None:
    story = Story()
    story.post(10, "op-1", "t1")
    story.say(50, "client", "read", "op-1", "t1", state="SUCCESS")
    story.say(60, "client", "read", task="t1", state="PENDING")
    (anomaly,) = judge(story.history, p.status_monotone()).anomalies
    assert anomaly.sentence == "The status of op-1 went back from SUCCESS to PENDING."


def test_a_task_that_waits_for_its_retry_is_not_interrupted() -> None:
    story = Story()
    story.retry(10, "t1", "worker-1")
    story.say(20, "worker-1", "shutting-down", how="Warm")
    story.say(30, "worker-1", "shutdown")
    assert judge(story.history, p.graceful(within="1s")).validity == "valid"


def test_a_cold_shutdown_promises_nothing() -> None:
    story = Story()
    story.say(20, "worker-1", "shutting-down", how="Cold")
    assert judge(story.history, p.graceful(within="1s")).validity == "unknown"


def test_of_two_reads_that_overlapped_neither_was_first_and_strange_states_say_nothing() -> None:
    story = Story()
    story.post(10, "op-1", "t1")
    story.say(50, "client", "read", "op-1", "t1", state="SUCCESS")
    story.say(60, "client", "read", "op-1", "t1", state="STARTED", invoked=40 * MS)
    story.say(70, "client", "read", "op-1", "t1", state="FROBNICATED")
    assert judge(story.history, p.status_monotone()).validity == "valid"
    story.say(80, "client", "read", "op-1", "t1", state="SUCCESS")
    story.say(90, "client", "read", "op-1", "t1", state="STARTED", invoked=85 * MS)
    assert judge(story.history, p.status_monotone()).validity == "invalid"


def test_a_forgotten_result_is_no_step_back_when_it_was_said_to_expire() -> None:
    story = Story()
    story.post(10, "op-1", "t1")
    story.say(50, "client", "read", "op-1", "t1", state="SUCCESS")
    story.say(5000, "client", "read", "op-1", "t1", state="PENDING")
    assert judge(story.history, p.status_monotone(expires="4s")).validity == "valid"
    assert judge(story.history, p.status_monotone(expires="6s")).validity == "invalid"


def test_a_refusal_is_an_answer_and_a_broken_connection_after_recovery_is_none() -> None:
    def recovery(outcome: str, status: int | None, at: float) -> Validity:
        story = Story()
        story.fault(1, 5)
        story.post(6, "op-1", "t1")
        story.run(20, "t1", key="op-1")
        story.post(at, "op-2", "t2", outcome, status)
        story.say(9000, "run", "note")
        return judge(story.history, p.recovers(within="1s")).validity

    assert recovery("fail", 422, 2000) == "valid"
    assert recovery("info", None, 500) == "valid"  # it still had time to recover
    assert recovery("info", None, 2000) == "invalid"
    assert recovery("ok", 202, 500) == "invalid"  # it said yes, so it has to do it


def test_what_beat_sends_after_the_drain_is_not_left_over() -> None:
    def left(at: float) -> History:
        story = Story()
        story.post(10, "op-1", "t1")
        story.run(50, "t1", key="op-1")
        story.sample(600)
        story.sample(at, tick="unacked")
        story.say(700, "run", "drained", ok=True)
        return story.history

    assert judge(left(at=650), p.drained()).validity == "invalid"
    assert judge(left(at=790), p.drained()).validity == "valid"
