"""A checker and the constructor of its promises are one function: what its author writes is what others see."""

from __future__ import annotations

import inspect
import json
import pydoc
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Literal

import pytest

from brownout.check import promises
from brownout.check.registry import CHECKERS, checker, finder_of, judge, rule
from brownout.check.verdict import Anomaly, Ruling
from brownout.history.event import Event
from brownout.history.view import History
from brownout.plan.codec import decode, encode
from brownout.plan.duration import Duration, seconds
from brownout.plan.near import UnknownName
from brownout.plan.promise import Promise
from tests.unit.check_specimens import PLANTED, PROMISED

EVENTS = History([Event(1, "run", "note"), Event(2, "run", "note")])
MADE = {str(promise): promise for promise in (*PROMISED.values(), *(promise for promise, *_ in PLANTED))}
EXAMPLES = pytest.mark.parametrize("promise", MADE.values(), ids=str)


@pytest.fixture(autouse=True)
def registry() -> Iterator[None]:
    """What a test registers is gone after it."""
    before = dict(CHECKERS)
    yield
    CHECKERS.clear()
    CHECKERS.update(before)


def notes(
    history: History,
    most: int,
    *,
    within: Duration = "2s",
    kind: Literal["note", "phase"] = "note",
    names: Iterable[str] = (),
    under: Promise | None = None,
    loud: bool = False,
    colour: Literal["red", "green"] | None = None,
) -> Ruling:
    """There are few notes.

    More words.
    """
    found = [event for event in history.kind(kind) if event.at <= seconds(within) * 1e9]
    told = f"{list(names)} {under} {loud}"
    return Ruling([Anomaly("many", told)] if len(found) > most else (), why=told)


@EXAMPLES
def test_a_promise_goes_through_json_and_back(promise: Promise) -> None:
    assert decode(Promise, json.loads(json.dumps(encode(promise)))) == promise


@EXAMPLES
def test_a_promise_is_what_its_author_would_write(promise: Promise) -> None:
    assert eval(str(promise), {name: getattr(promises, name) for name in promises.__all__}) == promise


@pytest.mark.parametrize("name", CHECKERS)
def test_the_constructor_looks_like_the_checker_without_its_history(name: str) -> None:
    entry = CHECKERS[name]
    signature = inspect.signature(entry.make)
    assert list(signature.parameters.values()) == list(inspect.signature(entry.rule).parameters.values())[1:]
    assert signature.return_annotation is Promise
    assert entry.make.__annotations__.keys() == {*signature.parameters, "return"}
    assert (entry.make.__name__, entry.make.__module__) == (name, entry.rule.__module__)
    assert f"{name}(" in pydoc.plain(pydoc.render_doc(entry.make))
    assert "history" not in pydoc.plain(pydoc.render_doc(entry.make)).split("\n\n")[1].partition("->")[0]


@pytest.mark.parametrize("name", CHECKERS)
def test_its_row_fits_a_table(name: str) -> None:
    assert 10 < len(CHECKERS[name].row) <= 110
    assert CHECKERS[name].row.endswith(".")


def test_every_checker_is_exported() -> None:
    assert CHECKERS.keys() == set(promises.__all__) - {"recovery_bound"}
    assert all(getattr(promises, name) is entry.make for name, entry in CHECKERS.items())


def test_the_first_promise_that_finds_an_anomaly_is_the_plainest() -> None:
    """`must_show("lost")` stands in plans without the promise that it breaks."""
    for kind, name in (("lost", "at_least_once"), ("late", "at_least_once"), ("duplicate", "at_most_once")):
        assert finder_of(kind) == name


def test_arguments_are_json_at_once_and_what_is_off_is_left_out() -> None:
    few = checker(anomalies=("many",))(notes)
    assert few(3).args == {"most": 3, "within": 2.0, "kind": "note"}
    given = few(most=0, within=0.5, names={"b", "a"}, under=promises.at_most_once(), loud=True)
    assert given.args == {
        "most": 0, "within": 0.5, "kind": "note", "names": ["a", "b"], "loud": True,
        "under": {"name": "at_most_once", "args": {"by": "key", "of": "effect"}},
    }  # fmt: skip
    assert str(given).endswith("under=at_most_once(by='key', of='effect'), loud=True)")
    assert few(1, names=set("hgfedcba")).args["names"] == list("abcdefgh")
    assert promises.nothing_stuck(expires=0).args == {"expires": 0.0}, "0 is not off: the default is None"
    assert few(1, names=["b", "a"]).args["names"] == ["b", "a"], "a list keeps its order"


def test_the_checker_is_called_with_what_its_author_wrote() -> None:
    few = checker(anomalies=("many",))(notes)
    under = promises.at_most_once()
    assert judge(EVENTS, few(2, names={"a"}, under=under)).why == f"['a'] {under} False"
    assert judge(EVENTS, few(1)).validity == "invalid"
    assert judge(EVENTS, few(1, kind="phase")).validity == "valid"
    assert judge(EVENTS, Promise("notes", {"most": 1})).validity == "invalid", "a plan may leave out what has a default"
    assert rule(EVENTS, few(1)).anomalies == [Anomaly("many", "[] None False")]


def test_types_reach_who_calls_the_constructor() -> None:
    # mypy, which calls an `ignore` that it does not need an error, proves it here.
    wrong: list[tuple[Callable[[], object], str]] = [
        (lambda: promises.at_least_once(wihtin="1s"), r"at_least_once\(\) got an unexpected keyword argument 'wihtin'"),  # type: ignore[call-arg]
        (lambda: promises.recovers(), r"recovers\(\) missing a required .*'within'"),  # type: ignore[call-arg]
        (lambda: promises.drained(EVENTS), r"drained\(\) too many positional arguments"),  # type: ignore[call-arg]
    ]
    for call, says in wrong:
        with pytest.raises(TypeError, match=says):
            call()
    made: Callable[[Iterable[int]], Promise] = promises.answers
    assert made([202]).args == {"statuses": [202]}


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda few: few(1, within="soon"), "not a time"),
        (lambda few: few(1, within=True), "not a time"),
        (lambda few: few(1, kind="phse"), "no `kind` of notes is called 'phse'; did you mean 'phase'"),
        (lambda few: few(1, colour="gren"), "no `colour` of notes is called 'gren'; did you mean 'green'"),
        (lambda few: few(object()), "`most` of notes must be JSON"),
        (lambda few: few(float("nan")), "`most` of notes must be JSON"),
    ],
    ids=[str(n) for n in range(6)],
)
def test_nonsense_is_refused_where_it_is_written(make: Callable[[Any], Promise], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        make(checker()(notes))


def test_two_checkers_cannot_have_one_name() -> None:
    def drained(history: History) -> Ruling:
        """Nothing is left."""
        return Ruling()

    with pytest.raises(ValueError, match="two checkers are called 'drained'"):
        checker()(drained)
    assert judge(EVENTS, promises.drained()).validity == "unknown"
    once = checker()(notes)
    assert checker(anomalies=("many",))(notes)(1) == once(1), "a module that is imported again registers again"
    assert CHECKERS["notes"].anomalies == ("many",)


def test_what_cannot_be_a_checker_is_told_when_it_is_defined() -> None:
    def takes_anything(history: History, **more: object) -> Ruling:
        return Ruling()

    def takes_nothing() -> Ruling:
        return Ruling()

    for wrong in (takes_anything, takes_nothing):
        with pytest.raises(TypeError, match=f"{wrong.__name__} is no checker"):
            checker()(wrong)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="notes: `timed` names kinds that `anomalies` does not name: late"):
        checker(anomalies=("lost",), timed=("late",))(notes)


def test_a_checker_that_answers_something_else_is_unknown() -> None:
    def careless(history: History) -> Ruling:
        """It forgets to answer."""
        return None  # type: ignore[return-value]

    verdict = judge(EVENTS, checker()(careless)())
    assert verdict.validity == "unknown"
    assert "the checker raised AttributeError" in verdict.why


def test_a_promise_that_nobody_registered_is_told_with_its_near_matches() -> None:
    with pytest.raises(UnknownName, match="did you mean 'drained'"):
        judge(EVENTS, Promise("draned"))
