"""The laws of design.md over the registry of faults, as far as they need no running subject."""

import json
import os
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, cast
from unittest.mock import MagicMock

import pytest

from brownout import faults
from brownout.faults.lasting import lasting
from brownout.faults.strike import Strike, strike, strikes
from brownout.faults.toxic import toxics
from brownout.history.layout import Layout, Unreadable
from brownout.plan.codec import decode, encode
from brownout.plan.fault import FAULTS, Fault, FaultKind, fault, register
from brownout.plan.near import UnknownName
from brownout.subject.subject import Subject

EXAMPLES = (
    faults.kill(), faults.kill_child(2), faults.terminate("3s"), faults.cold_shutdown(), faults.stop(),
    faults.stop(main_only=True), faults.refuse(), faults.cut(), faults.reset(), faults.flap(5, "200ms", "1s"),
    faults.blackhole(), faults.blackhole(stream="upstream", toxicity=0.5), faults.vanish(), faults.half_open(),
    faults.latency("2s"), faults.latency("2s", "100ms", stream="both"), faults.spike("1s", nth=3, on_top_of="10ms"),
    faults.bandwidth(10), faults.bandwidth(0), faults.slow_close("1s"), faults.slicer(64, "1ms"),
    faults.limit_data(100), faults.reset_peer("50ms"), faults.out_of_memory(), faults.read_only(),
    faults.hold(), faults.lose_reply(), faults.tear_reply(), faults.error_reply("oom"),
    faults.out_of_clients(), faults.freeze(), faults.loading(), faults.disconnect(), faults.flush(),
    faults.evict_key("unacked*"),
)  # fmt: skip
MADE = pytest.mark.parametrize("fault", EXAMPLES, ids=str)


def test_every_fault_is_registered_struck_and_exported() -> None:
    own = {name: kind for name, kind in FAULTS.items() if kind.make.__module__.startswith("brownout.")}
    assert {fault.name for fault in EXAMPLES} == own.keys() == set(faults.__all__)
    assert all(getattr(faults, name) is kind.make and (kind.strike or kind.strike_there) for name, kind in own.items())


@MADE
def test_a_fault_goes_through_json_and_back(fault: Fault) -> None:
    assert decode(Fault, json.loads(json.dumps(encode(fault)))) == fault


@MADE
def test_a_fault_is_what_its_author_would_write(fault: Fault) -> None:
    assert eval(str(fault), {name: getattr(faults, name) for name in faults.__all__}) == fault


@MADE
def test_weaker_variants_are_valid_take_its_targets_and_come_to_an_end(fault: Fault) -> None:
    seen, left = {str(fault)}, [fault]
    while left:
        strong = left.pop()
        for weak in strong.kind.weaker(strong):
            assert weak.kind.targets >= strong.kind.targets, f"{weak} cannot take the place of {strong}"
            assert weak.kind.wires >= strong.kind.wires or "toxiproxy" not in strong.kind.wires
            assert weak.kind.make(**weak.args) == weak
            if str(weak) not in seen:
                seen.add(str(weak))
                left.append(weak)
        assert len(seen) < 3_000


@MADE
def test_weakening_never_leads_back(fault: Fault) -> None:
    path = [str(fault)]
    while milder := fault.kind.weaker(fault):
        fault = milder[0]
        assert str(fault) not in path
        path.append(str(fault))


@pytest.mark.parametrize("kind", FAULTS.values(), ids=FAULTS)
def test_its_row_fits_a_report(kind: FaultKind) -> None:
    assert 10 < len(kind.row) <= 80
    assert kind.row.endswith(".")
    assert kind.heal


@pytest.mark.parametrize("kind", FAULTS.values(), ids=FAULTS)
def test_only_what_strikes_edges_needs_a_wire(kind: FaultKind) -> None:
    assert bool(kind.wires) is ("edge" in kind.targets)


@pytest.mark.parametrize("kind", FAULTS.values(), ids=FAULTS)
def test_what_strikes_at_a_point_says_at_which_moments(kind: FaultKind) -> None:
    assert bool(kind.moments) is (kind.strike_there is not None)
    assert kind.needs_point is (kind.strike is None)


def test_the_first_weaker_variant_is_less_of_the_same() -> None:
    assert faults.latency("2s").kind.weaker(faults.latency("2s"))[0] == faults.latency("1s")
    assert faults.bandwidth(4).kind.weaker(faults.bandwidth(4))[0] == faults.bandwidth(8)
    assert faults.blackhole().kind.weaker(faults.blackhole())[0] == faults.blackhole(stream="downstream")
    assert faults.kill().kind.weaker(faults.kill())[0] == faults.terminate()
    assert faults.lose_reply().kind.weaker(faults.lose_reply()) == (faults.hold(),)


def test_both_streams_are_two_toxics_where_toxiproxy_knows_only_one() -> None:
    assert {toxic.stream for toxic in toxics(faults.latency("1s", stream="both"))} == {"upstream", "downstream"}
    assert [toxic.stream for toxic in toxics(faults.latency("1s"))] == ["downstream"]
    assert [toxic.stream for toxic in toxics(faults.blackhole())] == ["both"]
    assert len({toxic.name for toxic in toxics(faults.vanish())}) == 2


def test_seconds_become_the_units_of_toxics() -> None:
    (late,) = toxics(faults.latency("1.5s", "20ms"))
    assert dict(late.attributes) == {"latency": 1500, "jitter": 20}
    (sliced,) = toxics(faults.slicer(8, "2ms"))
    assert sliced.attributes["delay"] == 2_000


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: faults.latency("soon"), "not a time"),
        (lambda: faults.latency(-1), "not negative"),
        (lambda: faults.latency("1s", stream="sideways"), "not on 'sideways'"),  # type: ignore[arg-type]
        (lambda: faults.latency("1s", toxicity=2), "above 0 and up to 1"),
        (lambda: faults.latency("1s", toxicity=0), "above 0 and up to 1"),
        (lambda: faults.latency("1s", colour="red"), "does not take colour"),  # type: ignore[call-arg]
        (lambda: faults.bandwidth(-1), "whole numbers"),
        (lambda: faults.slicer(0), "at least one byte"),
        (lambda: faults.flap(0), "at least once"),
        (lambda: faults.flap(down=0), "for some time"),
        (lambda: faults.kill_child(0), "from 1"),
        (lambda: faults.terminate("x"), "not a time"),
        (lambda: faults.error_reply("oomm"), "did you mean 'oom'"),
        (lambda: faults.evict_key(""), "needs a pattern"),
    ],
    ids=[str(n) for n in range(14)],
)
def test_nonsense_is_refused_where_it_is_written(make: object, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        make()  # type: ignore[operator]


def test_a_strike_looks_once_more_before_it_heals_and_heals_once() -> None:
    done: list[str] = []
    hit = lasting(lambda _: "" if done else "it acted", lambda: done.append("undone"))
    hit.heal()
    hit.heal()
    assert (done, hit.acted()) == (["undone"], "it acted")


def test_a_heal_that_failed_is_told_and_may_be_tried_again() -> None:
    tries: list[int] = []

    def undo() -> None:
        tries.append(1)
        if len(tries) == 1:
            raise OSError("not now")

    hit = lasting(lambda _: "", undo)
    with pytest.raises(OSError, match="not now"):
        hit.heal()
    hit.heal()
    hit.heal()
    assert len(tries) == 2


def test_a_misspelt_fault_is_told_its_near_matches() -> None:
    with pytest.raises(UnknownName, match="latency"):
        _ = Fault("latncy").kind


def test_two_faults_cannot_have_one_name() -> None:
    with pytest.raises(ValueError, match="two faults"):
        register(FaultKind("kill", faults.kill, frozenset(), "never"))


@pytest.fixture
def hiccup(monkeypatch: pytest.MonkeyPatch) -> Callable[[], Fault]:
    """A fault that is registered until the end of the test, without a strike."""
    found = dict(FAULTS)
    monkeypatch.setattr("brownout.plan.fault.FAULTS", found)
    monkeypatch.setattr("brownout.faults.strike.FAULTS", found)

    @fault(targets=["worker"], heal="nothing to undo")
    def hiccup() -> Fault:
        """Something happens."""
        return Fault("hiccup")

    return hiccup


def test_a_fault_is_a_function_and_its_strike(hiccup: Callable[[], Fault]) -> None:
    assert (hiccup().kind.row, hiccup().kind.targets) == ("Something happens.", frozenset({"worker"}))
    subject = cast("Subject", None)
    with pytest.raises(LookupError, match=r"hiccup has no strike: .* with @strikes"):
        strike(subject, "worker-1", hiccup())
    done: list[str] = []

    @strikes(hiccup)
    def hit(subject: Subject, target: str, fault: Fault) -> Strike:
        done.append(f"{fault} on {target}")
        return Strike(lambda: None, lambda: "it acted")

    assert strike(subject, "worker-1", hiccup()).acted() == "it acted"
    assert done == ["hiccup() on worker-1"]
    with pytest.raises(ValueError, match="hiccup has a strike already"):
        strikes(hiccup)(hit)
    with pytest.raises(ValueError, match=r"toxics is no fault: .* with @fault"):
        strikes(cast("Callable[..., Fault]", toxics))


def test_a_module_that_is_imported_again_registers_its_faults_again(hiccup: Callable[[], Fault]) -> None:
    def again() -> Fault:
        """Something else happens."""
        return Fault("hiccup")

    again.__qualname__, again.__name__ = hiccup.__qualname__, "hiccup"
    fault(targets=["api"], heal="nothing to undo")(again)
    assert (hiccup().kind.row, hiccup().kind.strike) == ("Something else happens.", None)


def test_a_name_that_another_function_has_is_refused(hiccup: Callable[[], Fault]) -> None:
    def other() -> Fault:
        """Something else happens."""
        return Fault("hiccup")

    other.__name__ = "hiccup"
    with pytest.raises(ValueError, match="two faults are called 'hiccup'"):
        fault(targets=["api"], heal="nothing to undo")(other)
    assert hiccup().kind.row == "Something happens."


@pytest.mark.parametrize(
    ("target", "layout", "database"),
    [
        ("broker", Layout(database=2, backend=3), 2),
        ("backend", Layout(database=2, backend=3), 3),
        ("backend", Layout(database=2), None),  # an application without a result backend, or with one elsewhere
        ("broker", Unreadable("its broker is memory"), None),
        ("backend", Unreadable("its broker is memory"), None),
    ],
)
def test_a_flush_empties_the_application_s_database_and_none_when_nobody_knows_it(
    target: str, layout: Any, database: int | None
) -> None:
    broker = MagicMock()
    broker.client.return_value.__enter__.return_value.dbsize.return_value = 7
    hit = strike(cast("Subject", SimpleNamespace(broker=broker, layout=layout)), target, faults.flush())
    assert hit.acted() == ("" if database is None else "7 keys deleted")
    assert [call.args for call in broker.client.call_args_list] == ([] if database is None else [(database,)])


@pytest.mark.parametrize("children", [False, True])
def test_kill_ends_the_main_process_or_all_that_it_started(children: bool) -> None:
    done: list[str] = []

    def signal(name: str) -> Any:
        return lambda _: done.append(name)

    process = SimpleNamespace(
        alive=True, pid=os.getpid(), returncode=None, signal=signal("main"), signal_group=signal("group")
    )
    subject: Any = SimpleNamespace(process=lambda _: process, strike=lambda name: done.append(f"strikes {name}"))
    strike(subject, "worker-1", faults.kill(children=children))
    assert done == ["strikes worker-1", "group" if children else "main"]
