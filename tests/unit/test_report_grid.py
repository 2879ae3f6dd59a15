"""The fault map on a terminal, and one cell in full."""

import io
import sys
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from brownout.check.words import BAD, FLAGS, GOOD, UNKNOWN
from brownout.explore.maps.action import ACTIONS
from brownout.explore.maps.cell_result import Comparison, Controls
from brownout.explore.maps.faultmap import FaultMap
from brownout.plan.point import Point
from brownout.report.maps.grid import HEADINGS, SIGNS, columns, detail, grid, markdown, plain, sign, style, write
from tests.unit.test_explore_faultmap import ACK, BRPOP, IDLE, LPUSH, MAPS, ZADD, mapped, seen

RESULT = Point("worker->backend", "SETEX meta-<id>;PUBLISH meta-<id>")
WHOLE = mapped(
    seen(LPUSH, "before-cut", "once"),
    seen(LPUSH, "after-cut", "duplicate"),
    seen(LPUSH, "after-never", "hangs"),
    seen(LPUSH, "before-kill", "unanswered"),
    seen(IDLE, "before-cut", "once"),
    seen(BRPOP, "after-cut", "lost"),
    seen(BRPOP, "after-kill-child", "recovered", "recovered", "once"),
    seen(BRPOP, "after-restart-broker", "lost"),
    seen(ZADD, "before-cut", "lost"),
    seen(ZADD, "before-loading", "once+worker-dead"),
    seen(ZADD, "after-never", "stuck+silent"),
    seen(ACK, "before-cut", "duplicate-later"),
    seen(ACK, "before-oom", "unknown: it stalled"),
    seen(ACK, "after-cut", "once"),
    seen(RESULT, "before-cut", "misreported"),
    seen(RESULT, "after-held", "unread"),
    trace=(LPUSH, BRPOP, RESULT, ZADD, ACK),  # the worker's edges interleaved
    versions={"celery": "5.7.0", "kombu": "5.7.0"},
    controls=Controls(4),
    cold=(Comparison("x", ("once",), ("once",)),),
)
NARROW = """\
defaults/task
celery 5.7.0, kombu 5.7.0

                 before ──────────────
                 cut   load  oom  kill
api->broker
  LPUSH#1        .     -     -    x
worker->broker
✗ ZADD#1         LOST  .†    -    -
✗ ZREM#1         ldup  -     ?    -
  BRPOP[idle]#1  .     -     -    -
worker->backend
✗ SETEX#1        RES   -     -    -

                 after ──────────────────────────
                 cut   held  never  child  broker
api->broker
✗ LPUSH#1        DUP   -     HANG   -      -
worker->broker
✗ BRPOP#1        LOST  -     -      r/.    LOST
✗ ZADD#1         -     -     STK*   -      -
  ZREM#1         .     -     -      -      -
worker->backend
✗ SETEX#1        -     gerr  -      -      -

  *       1  the worker lives and does not consume
  LOST    3  was accepted, took no effect, and its
             message is nowhere
  STK     1  is in `unacked` alone, until the
             visibility timeout
  DUP     1  took effect more than once
  ldup    1  took effect once, and will again: its
             message is still unacked or back in the
             queue
  †       1  the worker ended by itself
  HANG    1  its caller waits, without an end in
             sight
  RES     1  its reported state is not true
  gerr    1  took effect once and its result is
             stored, but get() fails
  ?       1  no verdict: nothing is proved
          1  it stalled
  x       1  its caller got no clear answer; it took
             effect at most once
  r       1  took effect once, after a recovery
  .       5  took effect once, and its caller knows
  a/b     1  differs between trials; the most
             frequent first
  -          not in this map
  before, after = before or after the server
  executed the command; load = loading; child =
  kill-child; broker = restart-broker

16 cells: 5 good, 10 bad, 1 unknown; 1 with a
declared set
23 trials: 4 without a fault, 0 of them bad; 1 from
cold processes
60.0 s, 23 trials a minute
doubt: some cells have no verdict
✗ invalid: exit code 1"""
WIDE = """\
                 before ──────────────  after ──────────────────────────
                 cut   load  oom  kill  cut   held  never  child  broker
api->broker
✗ LPUSH#1        .     -     -    x     DUP   -     HANG   -      -
worker->broker
✗ BRPOP#1        -     -     -    -     LOST  -     -      r/.    LOST
✗ ZADD#1         LOST  .†    -    -     -     -     STK*   -      -
✗ ZREM#1         ldup  -     ?    -     .     -     -      -      -
  BRPOP[idle]#1  .     -     -    -     -     -     -      -      -
worker->backend
✗ SETEX#1        RES   -     -    -     -     gerr  -      -      -
"""


def test_a_narrow_grid_shows_each_moment_in_a_table_of_its_own() -> None:
    assert plain(grid(WHOLE, 52)) == NARROW


def test_a_wide_grid_is_one_table() -> None:
    assert WIDE in plain(grid(WHOLE, 80))
    assert plain(grid(WHOLE, 80)) == plain(grid(WHOLE))


@pytest.mark.parametrize("width", range(30, 120, 7))
def test_no_line_is_too_long_and_no_sign_is_cut(width: int) -> None:
    text = plain(grid(WHOLE, width))
    words = [word for line in text.splitlines() for word in line.split()]

    assert max(map(len, text.splitlines())) <= width
    for result in WHOLE.cells:
        assert sign(result) in words
    assert words.count("SETEX#1") >= 1
    assert sum(word in ("before", "after") for word in words if not word.endswith(",")) >= 2


@settings(max_examples=30)
@given(MAPS, st.integers(40, 150))
def test_any_map_can_be_shown(whole: FaultMap, width: int) -> None:
    text, page = plain(grid(whole, width)), markdown(whole)

    assert text.endswith(f"{whole.validity}: exit code {('valid', 'invalid', 'unknown').index(whole.validity)}")
    assert all(sign(result) in text for result in whole.cells)
    bars = {
        line.replace("\\|", "").count("|") for line in page.splitlines()[: 2 + len({c.cell.point for c in whole.cells})]
    }
    assert len(bars) == 1
    assert all(plain(detail(result)) for result in whole.cells)


def test_the_columns_stand_under_their_moments_however_few_there_are() -> None:
    few = mapped(seen(ACK, "before-readonly", "once"), seen(ACK, "after-cut", "once"), seen(ACK, "after-kill", "once"))

    assert plain(grid(few)).splitlines()[2:5] == [
        "          before  after ───",
        "          ro      cut  kill",
        "worker->broker",
    ]


def test_a_label_that_is_too_long_has_a_line_of_its_own() -> None:
    other = Point("worker->broker", "ZADD a_rather_long_name_of_a_key")
    text = plain(
        grid(
            mapped(
                seen(ZADD, "before-cut", "lost"), seen(other, "before-cut", "once"), seen(ACK, "before-cut", "once")
            ),
            40,
        )
    )

    assert text.splitlines()[2:9] == [
        "          before",
        "          cut",
        "worker->broker",
        "✗ ZADD unacked_index;HSET unacked#1",
        "          LOST",
        "  ZREM#1  .",
        "  ZADD a_rather_long_name_of_a_key#1",
    ]


def test_every_word_has_a_sign_of_its_own() -> None:
    assert SIGNS.keys() == {*GOOD, *BAD, *FLAGS, UNKNOWN}
    assert len(set(SIGNS.values())) == len(SIGNS)
    assert HEADINGS.keys() <= ACTIONS.keys()
    assert len({HEADINGS.get(name, name) for name in ACTIONS}) == len(ACTIONS)


def test_signs_of_races_flags_and_nothing() -> None:
    assert sign(seen(ACK, "after-cut", "once+worker-dead+silent")) == ".†*"
    assert sign(seen(ACK, "after-cut", "once", "once", "duplicate+api-stalled")) == "./DUP~"
    assert sign(seen(ACK, "after-cut", "unknown: one", "unknown: another")) == "?"
    assert sign(seen(ACK, "after-cut")) == "?"


def test_what_is_bad_stands_out() -> None:
    good = {style(seen(ACK, "after-cut", word)) for word in GOOD}
    bad = {
        word: style(seen(ACK, "after-cut", "once", "once", word))
        for word in (*BAD, *(f"once+{flag}" for flag in FLAGS))
    }

    assert not any(" on " in each for each in good)
    assert all(" on " in each for each in bad.values())
    grave = {"duplicate-later", "duplicate", "stuck", "lost", "once+silent"}
    assert {word for word, each in bad.items() if each.endswith("red")} == grave
    assert style(seen(ACK, "after-cut", "unknown")).endswith("yellow")


def test_why_a_map_proves_nothing_is_in_its_last_lines() -> None:
    text = plain(grid(replace(WHOLE, controls=Controls(4, ("lost",)), complete=False)))

    assert text.splitlines()[-4:] == [
        "void: a trial without a fault went wrong: lost",
        "doubt: the map was interrupted",
        "doubt: some cells have no verdict",
        "? unknown: exit code 2",
    ]


def test_a_map_without_cells_is_shown() -> None:
    assert plain(grid(mapped())).splitlines()[-3:] == [
        "60.0 s, 3 trials a minute",
        "doubt: no cell was tried",
        "? unknown: exit code 2",
    ]


class Terminal(io.StringIO):
    """A terminal that keeps what it shows."""

    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("NO_COLOR", "FORCE_COLOR", "COLORTERM", "COLUMNS", "TTY_COMPATIBLE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")


def test_a_terminal_is_given_colours_and_the_same_text() -> None:
    pytest.importorskip("rich")
    terminal = Terminal()
    write(grid(WHOLE, 52), terminal)
    shown = terminal.getvalue()

    assert "\x1b[1;37;41mLOST\x1b[0m" in shown
    from rich.text import Text

    assert [line.rstrip() for line in Text.from_ansi(shown).plain.splitlines()] == NARROW.splitlines()


@pytest.mark.parametrize("how", ["a pipe", "NO_COLOR", "without rich"])
def test_everything_else_is_given_plain_text(how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.StringIO() if how == "a pipe" else Terminal()
    if how == "NO_COLOR":
        monkeypatch.setenv("NO_COLOR", "1")
    if how == "without rich":
        for name in ("rich", "rich.console", "rich.text"):
            monkeypatch.setitem(sys.modules, name, None)
    write(grid(WHOLE, 52), stream)

    assert stream.getvalue() == NARROW + "\n"


def test_columns_of_the_environment_decide(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "97")
    assert columns() == 97


CELL = seen(
    ZADD,
    "before-cut",
    "lost+silent",
    seconds=2.25,
    witness=("+0.213 s worker->broker ZADD … cut here", "+5.6 s probe redis://me:hush@b/0 \x1b[31mnot done"),
    note="silent for 5.5 s",
)


def test_a_cell_in_full() -> None:
    again = "brownout map defaults task --cell worker->broker/ZADD#1/before-cut"

    assert plain(detail(CELL, "worker->broker/ZADD#1/before-cut", again)).splitlines() == [
        "✗ worker->broker/ZADD#1/before-cut  invalid · lost+silent ×1 · 2.2 s",
        "  The task was accepted, took no effect, and its message is nowhere; the worker lives and does not consume.",
        "",
        "      +0.213 s worker->broker ZADD … cut here",
        "      +5.6 s probe redis://***@b/0 \\x1b[31mnot done",
        "",
        "  Command   ZADD unacked_index;HSET unacked",
        "  Fault     the connection ends (FIN), before the server executed the command",
        "  Bound     silent for 5.5 s",
        f"  Again     {again}",
    ]


def test_a_race_in_full() -> None:
    race = seen(ACK, "after-melt", "once", "once", "duplicate")

    assert plain(detail(race)).splitlines() == [
        "✗ worker->broker/ZREM unacked_index;HDEL unacked#1/after-melt  invalid · once ×2 · duplicate ×1",
        "  2 of 3 times: The task took effect once, and its caller knows.",
        "  1 of 3 times: The task took effect more than once.",
        "",
        "  Command   ZREM unacked_index;HDEL unacked",
        "  Fault     melt, after the server executed the command",
    ]


@pytest.mark.parametrize(
    ("word", "sentence"),
    [
        ("hangs", "The task's caller waits, without an end in sight."),
        ("misreported+worker-dead", "The task's reported state is not true; the worker ended by itself."),
        ("unknown: it stalled", "Unknown: it stalled."),
        ("unknown", "Unknown: nothing is proved."),
        (None, "Unknown: nothing is proved."),
    ],
)
def test_an_outcome_in_a_sentence(word: str | None, sentence: str) -> None:
    result = seen(ACK, "after-cut", *([word] if word else []))

    assert plain(detail(result)).splitlines()[1] == f"  {sentence}"


def test_a_map_as_a_page() -> None:
    page = markdown(mapped(
        seen(ZADD, "before-cut", "lost"),
        seen(ZADD, "after-never", "once+silent"),
        seen(Point("worker->broker", "GET a|b"), "after-never", "once"),
    ))  # fmt: skip

    assert page.splitlines() == [
        "| point | command | before<br>cut | after<br>never |",
        "|---|---|---|---|",
        "| `worker->broker/ZADD#1` | `ZADD unacked_index;HSET unacked` | **LOST** | **.\\*** |",
        "| `worker->broker/GET#1` | `GET a\\|b` |  | . |",
        "",
        "| sign | cells | what became of the task |",
        "|---|---:|---|",
        "| \\* | 1 | the worker lives and does not consume |",
        "| LOST | 1 | was accepted, took no effect, and its message is nowhere |",
        "| . | 2 | took effect once, and its caller knows |",
        "",
        "- 3 cells: 1 good, 2 bad, 0 unknown",
        "- 6 trials: 3 without a fault, 0 of them bad; 0 from cold processes",
        "- 60.0 s, 6 trials a minute",
        "- invalid",
    ]
    assert page.endswith("\n")
