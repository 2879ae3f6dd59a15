"""Bodies as Go decodes them, and addresses as Go resolves them. What Go says was asked of toxiproxy-server 2.12."""

import inspect
import json
import struct
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from brownout.wire.errors import BadRequest, WireError
from brownout.wire.tcp.address import resolved
from brownout.wire.toxiproxy.gojson import Float32, Int64, Object, decoded, float32, parsed

FIELDS = {"name": str, "enabled": bool, "size": Int64, "share": Float32, "inside": Object}


def read(body: str | bytes) -> dict[str, object]:
    return decoded(parsed(body if isinstance(body, bytes) else body.encode()), FIELDS)


@pytest.mark.parametrize(
    ("body", "found"),
    [
        ('{"NAME":"a","Enabled":true}', {"name": "a", "enabled": True}),
        ('{"ſize":1,"names":"b"}', {"size": 1}),
        ('{"name":"a","name":null,"Name":"b"}', {"name": "b"}),
        ('{"inside":{"a":1},"inside":{"b":null}}', {"inside": [("a", "1"), ("b", None)]}),
        ('{"size":9223372036854775807,"share":1e-7}', {"size": 2**63 - 1, "share": 1e-7}),
        ('{"size":-0,"share":0.12345678901}', {"size": 0, "share": 0.12345679}),
        (' \t\r\n{"name":"a"} and more', {"name": "a"}),
        ("null", {}),
        (b'{"name":"\xff\xe2\x82"}', {"name": "\ufffd\ufffd\ufffd"}),
        (r'{"name":"\ud800x\ud83d\ude00"}', {"name": "\ufffdx😀"}),
        ('{"x":1' + "0" * 5000 + "}", {}),
    ],
)
def test_what_go_accepts(body: str | bytes, found: dict[str, object]) -> None:
    assert read(body) == found


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ("", "EOF"),
        ("\n", "EOF"),
        ("{", ""),
        ("[]", "json: cannot unmarshal array"),
        ("5x", "json: cannot unmarshal number"),
        ('{"name":5}', "json: cannot unmarshal number into field name"),
        ('{"enabled":"true"}', "json: cannot unmarshal string into field enabled"),
        ('{"size":9223372036854775808}', "json: cannot unmarshal number into field size"),
        ('{"size":-9223372036854775809}', "json: cannot unmarshal number into field size"),
        ('{"size":1e3}', "json: cannot unmarshal number into field size"),
        ('{"size":1' + "0" * 5000 + "}", "json: cannot unmarshal number into field size"),
        ('{"share":4e38}', "json: cannot unmarshal number into field share"),
        ('{"share":1e400}', "json: cannot unmarshal number into field share"),
        ('{"share":NaN}', "invalid character 'N' looking for beginning of value"),
        ('{"inside":[]}', "json: cannot unmarshal array into field inside"),
        ("\ufeff{}", ""),
        ('{"name":"a\tb"}', ""),
        ("[" * 5000 + "]" * 5000, "nested too deeply"),
    ],
)
def test_what_go_refuses(body: str, says: str) -> None:
    with pytest.raises(BadRequest) as refused:
        read(body)
    assert str(refused.value).startswith(f"bad request body: {says}")


@pytest.mark.parametrize("limit", [600, 100_000])
def test_how_deep_json_may_be_does_not_depend_on_the_recursion_limit(limit: int) -> None:
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(limit + len(inspect.stack()))
    try:
        assert parsed(b"[" * 500 + b"]" * 500)
        for deep in (b"[" * 501 + b"]" * 501, b'{"[{":' * 501):
            with pytest.raises(BadRequest, match="nested too deeply"):
                parsed(deep)
        for flat in (b'["' + b"[" * 900 + b'\\"]"]', b"[" + b"[]," * 900 + b"[]]", b"[]" + b"[" * 900):
            assert isinstance(parsed(flat), list)
    finally:
        sys.setrecursionlimit(before)


@given(st.floats(width=32, allow_nan=False, allow_infinity=False))
def test_a_float32_is_shown_as_the_shortest_number_that_is_it(value: float) -> None:
    shown = float32(value)
    assert struct.pack("<f", shown) == struct.pack("<f", value)
    assert len(json.dumps(shown).replace("-", "")) <= len(json.dumps(value).replace("-", ""))


@pytest.mark.parametrize(
    ("listen", "place"),
    [
        ("", ("", 0)),
        (":", ("", 0)),
        (":80", ("", 80)),
        ("127.0.0.1:", ("127.0.0.1", 0)),
        ("127.0.0.1:+8", ("127.0.0.1", 8)),
        ("LocalHost:8", ("127.0.0.1", 8)),
        ("[::1]:8", ("::1", 8)),
        ("[127.0.0.1]:8", ("127.0.0.1", 8)),
        ("[::FFFF:127.0.0.1]:8", ("127.0.0.1", 8)),
        ("192.0.2.1:00", ("192.0.2.1", 0)),
    ],
)
def test_addresses_that_go_resolves(listen: str, place: tuple[str, int]) -> None:
    assert resolved(listen) == place


@pytest.mark.parametrize(
    ("listen", "says"),
    [
        ("junk", "address junk: missing port in address"),
        ("[::1]", "address [::1]: missing port in address"),
        ("[::1]x:0", "address [::1]x:0: missing port in address"),
        ("[::1]:2:0", "address [::1]:2:0: too many colons in address"),
        ("::1:0", "address ::1:0: too many colons in address"),
        ("[::1", "address [::1: missing ']' in address"),
        ("1[:0", "address 1[:0: unexpected '[' in address"),
        ("1]:0", "address 1]:0: unexpected ']' in address"),
        ("127.0.0.1:99999", "address 99999: invalid port"),
        ("127.0.0.1:18446744073709551616", "address 18446744073709551616: invalid port"),
        ("127.0.0.1:-1", "address -1: invalid port"),
        ("127.0.0.1:nope", "lookup tcp/nope: unknown port"),
        ("127.0.0.1:٣", "lookup tcp/٣: unknown port"),
        ("127.0.0.01:0", "lookup 127.0.0.01: no such host"),
        ("127.1:0", "lookup 127.1: no such host"),
    ],
)
def test_addresses_that_go_refuses(listen: str, says: str) -> None:
    with pytest.raises(WireError) as refused:
        resolved(listen)
    assert str(refused.value) == says
