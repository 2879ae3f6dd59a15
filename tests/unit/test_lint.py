"""The rules of `brownout lint`: each on facts where it holds, and on facts where it nearly does."""

import ast
import json
from dataclasses import replace
from pathlib import Path

import pytest

from brownout.explore.maps.faultmap import FaultMap
from brownout.lint.facts import Call, Celery, Entry, Facts, Route, Task
from brownout.lint.rule import Cell, Scenario, rule
from brownout.lint.table import RULES
from examples.seeds.catalogue import MISTAKES

ROOT = Path(__file__).parents[2]
SOUND = Celery(channel_error_retry=True, socket_timeout=2.0, one_database=False)
LATE = Task("shop.send", acks_late=True, time_limit=30.0)


def facts(*calls: Call, task: Task = LATE, **settings: object) -> Facts:
    return Facts(replace(SOUND, tasks=(task,), **settings), (Route("POST /send", calls),))  # type: ignore[arg-type]


def call(kind: str, **more: object) -> Call:
    return Call(kind, "shop.send", "shop.py", 3, **more)  # type: ignore[arg-type]


#: Facts on which a rule holds, and facts that differ in what matters.
CASES = {
    "no-socket-timeout": (facts(socket_timeout=None), facts(socket_timeout=0.5)),
    "lost-prefetch-credit": (facts(prefetch=1), facts(prefetch=2)),
    "lost-prefetch-credit, retry_on_timeout": (facts(prefetch=1), facts(prefetch=1, retry_on_timeout=True)),
    "lost-prefetch-credit, watchdog": (facts(prefetch=1), facts(prefetch=1, watched=True)),
    "channel-error-ends-worker": (facts(channel_error_retry=False), facts()),
    "one-database": (facts(one_database=True), facts(one_database=None)),
    "early-ack": (facts(task=Task("shop.send")), facts()),
    "short-visibility": (facts(visibility=30.0), facts(visibility=31.0)),
    "short-visibility, retry": (
        facts(task=replace(LATE, retry_delay=3600.0)),
        facts(task=replace(LATE, retry_delay=9.0)),
    ),
    "short-visibility, countdown": (facts(call("publish", countdown=7200.0)), facts(call("publish", countdown=60.0))),
    "short-visibility, beat": (facts(beat=(Entry("t", 3600.0),)), facts(beat=(Entry("t", 3599.0),))),
    "short-visibility, early ack": (
        facts(visibility=30.0),
        facts(task=replace(LATE, acks_late=False), visibility=30.0),
    ),
    "unbounded-redelivery": (facts(task=replace(LATE, requeues=True)), facts()),
    "unbounded-redelivery, bounded": (
        facts(task=replace(LATE, requeues=True)),
        facts(task=replace(LATE, requeues=True, bounded=True)),
    ),
    "unbounded-redelivery, expiry": (
        facts(call("publish"), task=replace(LATE, requeues=True), beat=(Entry("shop.send", expires=True),)),
        facts(task=replace(LATE, requeues=True), beat=(Entry("shop.send", expires=True),)),
    ),
    "publish-on-loop": (facts(call("publish", on_loop=True)), facts(call("publish"))),
    "task-on-loop": (facts(call("run", on_loop=True)), facts(call("run"))),
    "backend-stops-publishing": (facts(call("publish"), backend="redis"), facts(call("publish"))),
    "backend-stops-publishing, ignored": (
        facts(call("publish"), backend="redis"),
        facts(call("publish", ignored=True), backend="redis"),
    ),
    "backend-stops-publishing, unknown": (
        facts(call("publish"), backend="redis"),
        facts(call("publish", ignored=None), backend="redis"),
    ),
    "backend-stops-publishing, task": (
        facts(call("publish"), backend="redis"),
        facts(call("publish"), task=replace(LATE, ignore_result=True), backend="redis"),
    ),
    "result-never-stored": (facts(call("result"), task=replace(LATE, ignore_result=True)), facts(call("result"))),
    "background-work": (facts(call("background")), facts(call("run"))),
}


@pytest.mark.parametrize("case", CASES)
def test_a_rule_holds_and_nearly_holds(case: str) -> None:
    looked = RULES[case.partition(",")[0]]
    holds, nearly = CASES[case]
    assert len(list(looked.findings(holds))) == 1
    assert list(looked.findings(nearly)) == []


def test_each_rule_has_a_case() -> None:
    assert {case.partition(",")[0] for case in CASES} == set(RULES)


def test_without_a_celery_application_only_the_routes_are_judged() -> None:
    alone = Facts(None, (Route("POST /send", (call("background"), call("publish", on_loop=True))),))
    assert [found.rule.id for looked in RULES.values() for found in looked.findings(alone)] == [
        *("publish-on-loop", "background-work")
    ]


@pytest.mark.parametrize("name", RULES)
def test_what_shows_a_rule_exists(name: str) -> None:
    """A cell is a bad one of a stored map; a scenario is a test, and its parameters are there."""
    shown = RULES[name].shown
    if isinstance(shown, Cell):
        stored = FaultMap.load(ROOT / "docs" / "maps" / f"{shown.config}-task.json")
        result = stored.result(shown.cell)
        assert result.verdict == "invalid", result.seen
    else:
        assert isinstance(shown, Scenario)
        file, _, test = shown.test.partition("::")
        function, _, parameters = test.rstrip("]").partition("[")
        there = ast.parse((ROOT / file).read_text()).body
        assert function in {node.name for node in there if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}
        assert not parameters or parameters in {f"{mistake.name}-wrong" for mistake in MISTAKES}


def test_each_cell_that_shows_a_rule_is_typed_as_its_map_was_made() -> None:
    assert RULES["lost-prefetch-credit"].shown.command == (
        "brownout map 'worker->broker/ZREM#1/before-cut' --config hardened"
    )
    assert RULES["early-ack"].shown.command == "brownout map 'worker->broker/ZREM#1/after-kill'"


def test_two_rules_have_two_names() -> None:
    with pytest.raises(ValueError, match="two rules are called 'early-ack'"):
        rule("early-ack", looks_at="", goes_wrong="", mend="", shown=Scenario(""))(lambda _: ())


def test_facts_are_read_from_what_the_process_prints() -> None:
    """Fields that a newer probe adds are ignored."""
    made = {"kind": "publish", "task": "t", "file": "f.py", "line": 2, "on_loop": True, "countdown": 3.0}
    celery = {"transport": "redis", "tasks": [{"name": "t", "calls": [made]}], "beat": [], "new": 1}
    read = Facts.of(json.loads(json.dumps({"celery": celery, "routes": [{"route": "GET /", "calls": [made]}]})))
    assert [(who, found.place, found.countdown) for who, found in read.calls("publish")] == [
        *(("GET /", "f.py:2", 3.0), ("t", "f.py:2", 3.0))
    ]
