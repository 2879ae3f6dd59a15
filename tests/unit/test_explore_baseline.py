"""Accepted cells: what an entry must say, and what becomes of each cell in its light."""

from collections.abc import Mapping
from datetime import date
from pathlib import Path

import pytest

from brownout.explore.maps.baseline import Accepted, Judgement, judge, load, parse
from brownout.explore.maps.cell_result import CellResult, Controls
from tests.unit.test_explore_faultmap import ACK, GOOD_CELL, LOST, ZADD, mapped, seen

TODAY = date(2026, 11, 20)
NAME = "worker->broker/ZADD#1/before-cut"
FIELDS = {
    "cell": f'"{NAME}"',
    "map": '"defaults/task"',
    "outcome": '"lost"',
    "reason": '"kombu registers in a second round trip"',
    "link": '"https://example.org/kombu/1"',
    "expires": "2027-03-01",
}


def entry(**fields: str) -> str:
    """TOML of one entry; an empty value leaves the field out."""
    lines = [f"{name} = {value}" for name, value in {**FIELDS, **fields}.items() if value]
    return "\n".join(["", "[[accepted]]", *lines, ""])


def judged(*cells: CellResult, text: str = "", today: date = TODAY, **more: object) -> Judgement:
    return judge(mapped(*cells), parse(text or entry()), today, **more)  # type: ignore[arg-type] # `cells` alone


def kinds(judgement: Judgement) -> Mapping[str, str]:
    return {ruling.name: ruling.kind for ruling in judgement.rulings}


def test_an_entry_is_read() -> None:
    text = (
        "# known holes\n"
        + entry()
        + entry(cell='"a->b/GET k#1/after-cut"', outcome='["lost", "once+worker-dead+silent"]')
    )

    assert parse(text) == (
        Accepted(NAME, "defaults/task", ("lost",), "kombu registers in a second round trip",
                 "https://example.org/kombu/1", date(2027, 3, 1), "baseline.toml:3"),
        Accepted("a->b/GET k#1/after-cut", "defaults/task", ("lost", "once+worker-dead+silent"),
                 "kombu registers in a second round trip", "https://example.org/kombu/1", date(2027, 3, 1),
                 "baseline.toml:11"),
    )  # fmt: skip
    assert parse("") == ()


def test_flags_may_be_written_in_any_order() -> None:
    assert parse(entry(outcome='"once+silent+worker-dead"'))[0].outcome == ("once+worker-dead+silent",)


def test_a_file_is_read_under_its_name(tmp_path: Path) -> None:
    path = tmp_path / "known.toml"
    path.write_text(entry() + entry(link=""), encoding="utf-8")

    with pytest.raises(ValueError, match=r"^known\.toml:10: an accepted cell needs its link$"):
        load(path)


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        *(({name: ""}, f"needs its {name}$") for name in FIELDS),
        *(({name: '" "'}, f"text is missing in {name}") for name in ("reason", "map")),
        ({"reason": "5"}, "text is missing in reason"),
        ({"link": '"see the wiki"'}, "link must be an address"),
        ({"expires": '"2027-03-01"'}, "expires must be a day without quotes, such as 2027-03-01, not '2027-03-01'"),
        ({"expires": "2027-03-01T00:00:00"}, "expires must be a day"),
        ({"outcome": '"losst"'}, "no outcome is called 'losst'; did you mean 'lost'"),
        ({"outcome": '["lost", "once+slient"]'}, "no flag is called 'slient'; did you mean 'silent'"),
        ({"outcome": '["once", "recovered"]'}, "once, recovered: only a bad outcome can be accepted"),
        ({"outcome": '"unknown"'}, "'unknown' is unknown; only a bad outcome can be accepted"),
        ({"outcome": "[]"}, "a word or a list of words"),
        ({"outcome": "3"}, "a word or a list of words"),
        ({"cell": '"ZADD before-cut"'}, "not a cell"),
        ({"raeson": '"x"'}, "no field is called 'raeson'; did you mean 'reason'"),
        ({"map": '"defalts/task"'}, "no map is called 'defalts/task'; did you mean 'defaults/task'"),
    ],
)
def test_what_an_entry_lacks_is_told_with_its_line(fields: dict[str, str], why: str) -> None:
    with pytest.raises(ValueError, match=rf"^baseline\.toml:10: .*{why}"):
        parse(entry(cell='"a->b/GET k#1/after-cut"') + entry(**fields), maps=["defaults/task", "late/task"])


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("[[acepted]]\n", r"no table is called 'acepted'; did you mean 'accepted'"),
        ("[accepted]\ncell = 1\n", r"an entry begins with \[\[accepted\]\]"),
        ("accepted = [1]\n", r"an entry begins with \[\[accepted\]\]"),
        ("[[accepted]\n", r"line 1"),
        (entry() + entry(), rf"10: {NAME} is already accepted at baseline\.toml:2"),
        ("accepted = [{cell = 'a'}]\n", r", entry 1: an accepted cell needs its map"),
    ],
)
def test_a_file_that_is_none_says_why(text: str, why: str) -> None:
    with pytest.raises(ValueError, match=f"^baseline.toml.*{why}"):
        parse(text)


def test_a_good_cell_needs_nobody() -> None:
    found = judged(GOOD_CELL, LOST)

    assert kinds(found) == {"api->broker/LPUSH#1/before-cut": "good", NAME: "accepted"}
    assert found.validity == "valid"
    assert found.of("accepted")[0].sentence == (
        f"{NAME}: lost ×1; accepted until 2027-03-01: kombu registers in a second round trip "
        "(https://example.org/kombu/1)"
    )


@pytest.mark.parametrize(
    ("cell", "kind", "validity", "sentence"),
    [
        (LOST, "accepted", "valid", "accepted until 2027-03-01"),
        (seen(ZADD, "before-cut", "lost", "once"), "accepted", "valid", "lost ×1, once ×1; accepted"),
        (seen(ZADD, "before-cut", "once"), "healed", "valid", "good now: remove the entry at baseline.toml:2"),
        (seen(ZADD, "before-cut", "stuck"), "changed", "invalid", "stuck is not what baseline.toml:2 accepts: lost"),
        (seen(ZADD, "before-cut", "lost+silent"), "changed", "invalid", "lost+silent is not what"),
        (seen(ZADD, "before-cut", "lost", "stuck"), "changed", "invalid", "; stuck is not what"),
        (seen(ZADD, "before-cut", "unknown: late"), "unknown", "unknown", "unknown: late ×1; the cell has no verdict"),
        (seen(ZADD, "before-cut", "lost", "unknown"), "unknown", "unknown", "the cell has no verdict"),
        (seen(ZADD, "before-cut"), "unknown", "unknown", "nothing was seen; the cell has no verdict"),
    ],
    ids=lambda value: " ".join(value.words) if isinstance(value, CellResult) else None,
)  # fmt: skip
def test_what_becomes_of_a_cell_that_an_entry_names(cell: CellResult, kind: str, validity: str, sentence: str) -> None:
    found = judged(cell)

    assert (kinds(found), found.validity) == ({NAME: kind}, validity)
    assert sentence in found.rulings[0].sentence


def test_a_race_is_accepted_with_its_good_words() -> None:
    race = entry(outcome='["lost", "once"]')

    def kind(cell: CellResult) -> str:
        return judge(mapped(cell), parse(race), date(2027, 1, 1)).rulings[0].kind

    assert kind(seen(ZADD, "before-cut", "once")) == kind(seen(ZADD, "before-cut", "lost")) == "accepted"
    assert kind(seen(ZADD, "before-cut", "recovered")) == "healed"
    assert kind(seen(ZADD, "before-cut", "stuck")) == "changed"


def test_a_bad_cell_that_nobody_accepted_is_red() -> None:
    ack = seen(ACK, "before-cut", "duplicate")
    found = judged(LOST, ack)

    assert kinds(found)["worker->broker/ZREM#1/before-cut"] == "new"
    assert (
        found.of("new")[0].sentence
        == "worker->broker/ZREM#1/before-cut: duplicate ×1; the baseline does not accept that"
    )
    assert found.validity == "invalid"


def test_an_entry_holds_until_the_end_of_its_last_day() -> None:
    assert judged(LOST, today=date(2027, 3, 1)).validity == "valid"
    late = judged(LOST, today=date(2027, 3, 2))

    assert (kinds(late), late.validity) == ({NAME: "expired"}, "invalid")
    assert "baseline.toml:2 accepted that until 2027-03-01" in late.rulings[0].sentence
    assert kinds(judged(seen(ZADD, "before-cut", "once"), today=date(2028, 1, 1))) == {NAME: "healed"}


def test_an_entry_may_name_several_outcomes_and_the_whole_label() -> None:
    full = entry(cell=f'"{LOST.cell}"', outcome='["lost", "stuck"]')

    assert kinds(judged(seen(ZADD, "before-cut", "stuck"), text=full)) == {NAME: "accepted"}


def test_two_entries_for_one_cell_are_red_by_either_name() -> None:
    found = judged(LOST, text=entry() + entry(cell=f'"{LOST.cell}"'))

    assert [ruling.kind for ruling in found.rulings] == ["accepted", "stray"]
    assert found.rulings[1].sentence.endswith("is already accepted at baseline.toml:2")


def test_an_entry_that_names_no_cell_is_red_with_its_near_matches() -> None:
    found = judged(LOST, text=entry() + entry(cell='"worker->broker/ZADD#1/before-cat"'))

    assert found.validity == "invalid"
    assert found.of("stray")[0].sentence == (
        "baseline.toml:10: no cell of defaults/task is called 'worker->broker/ZADD#1/before-cat'; "
        f"did you mean '{NAME}'?"
    )


def test_entries_of_other_maps_are_left_to_them() -> None:
    found = judged(LOST, GOOD_CELL, text=entry() + entry(map='"late/task"', cell='"a->b/GET k#1/after-cut"'))

    assert found.validity == "valid"
    assert kinds(judged(LOST, text=entry(map='"late/task"'))) == {NAME: "new"}


def test_a_part_of_a_map_accuses_no_entry_of_naming_nothing() -> None:
    text = entry() + entry(cell='"worker->broker/ZREM#1/before-cut"')
    partial = mapped(LOST, complete=False)

    assert [ruling.kind for ruling in judge(partial, parse(text), TODAY).rulings] == ["accepted"]
    assert judge(partial, parse(text), TODAY).validity == "unknown"
    whole = judged(LOST, text=text, cells=[NAME, "worker->broker/ZREM#1/before-cut"])
    assert [ruling.kind for ruling in whole.rulings] == ["accepted"]
    assert judged(LOST, text=text, cells=[NAME]).of("stray")
    assert judge(partial, parse(text), TODAY, [NAME]).of("stray")


def test_acceptance_does_not_mend_a_map_that_proves_nothing() -> None:
    baseline = parse(entry())

    assert judge(mapped(LOST, controls=Controls(3, ("lost",))), baseline, TODAY).validity == "unknown"
    assert judge(mapped(LOST, controls=Controls()), baseline, TODAY).validity == "unknown"
    assert judge(mapped(GOOD_CELL), (), TODAY).validity == "valid"
