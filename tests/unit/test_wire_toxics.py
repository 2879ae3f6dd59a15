"""The laws of design.md over the registry of toxics, and what a definition refuses."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from brownout.wire import KINDS, BadRequest, Toxic, latency, rst, timeout
from brownout.wire.tcp.address import address
from brownout.wire.tcp.shapes import SHAPES

TOXIPROXYS = {"noop", "latency", "bandwidth", "slow_close", "timeout", "reset_peer", "slicer", "limit_data"}


@st.composite
def toxics(draw: st.DrawFn) -> Toxic:
    name, kind = draw(st.sampled_from(sorted(KINDS.items())))
    values = {key: draw(st.integers(0, 10_000)) for key in kind.attributes}
    share = draw(st.floats(0, 1))
    return Toxic(name, draw(st.sampled_from(kind.streams)), share, draw(st.text(max_size=5)), values)


@given(toxics())
def test_a_toxic_goes_through_json_and_back(toxic: Toxic) -> None:
    assert Toxic.from_json(json.loads(json.dumps(toxic.to_json()))) == toxic
    assert hash(Toxic.from_json(toxic.to_json())) == hash(toxic)


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_each_kind_has_one_line_for_a_report(kind: object) -> None:
    summary = kind.summary  # type: ignore[attr-defined]
    assert 10 < len(summary) <= 110
    assert summary.endswith(".")


def test_every_kind_has_a_shape_and_says_which_wires_can_do_it() -> None:
    assert KINDS.keys() == SHAPES.keys()
    assert {name for name, kind in KINDS.items() if "toxiproxy" in kind.wires} == TOXIPROXYS | {"down"}
    assert all("builtin" in kind.wires for kind in KINDS.values())


def test_defaults_are_toxiproxys() -> None:
    assert latency(5).to_json() == {
        "attributes": {"latency": 5, "jitter": 0},
        "name": "latency_downstream",
        "type": "latency",
        "stream": "downstream",
        "toxicity": 1.0,
    }
    assert timeout(stream="upstream").name == "timeout_upstream"


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: Toxic("latncy"), "no toxic is called 'latncy'; did you mean 'latency'"),
        (lambda: Toxic("latency", attributes={"delay": 1}), "latency takes whole numbers"),
        (lambda: Toxic("latency", attributes={"latency": 1.5}), "not latency=1.5"),  # type: ignore[dict-item]
        (lambda: Toxic("latency", attributes={"latency": -1}), "not latency=-1"),
        (lambda: latency(1, stream="both"), "acts on downstream or upstream"),
        (lambda: rst(stream="upstream"), "acts on both"),
        (lambda: latency(1, toxicity=1.1), "from 0 to 1"),
        (lambda: Toxic.from_json({"type": "latency", "colour": "red"}), "not a toxic"),
        (lambda: address("nowhere"), "host:port"),
        (lambda: address("h:70000"), "not .h:70000"),
    ],
)
def test_nonsense_is_refused_where_it_is_written(make: object, says: str) -> None:
    with pytest.raises(BadRequest, match=says):
        make()  # type: ignore[operator]
