"""Decode a frame of RESP into a Python value."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

Value: TypeAlias = "bool | int | float | bytes | Failure | list[Value] | dict[Value, Value] | None"


class Failure(str):
    """The text of an error reply, as a value inside an array for instance."""

    __slots__ = ()

    def __new__(cls, text: bytes | str) -> Failure:
        """Decode bytes as UTF-8; bytes that are not UTF-8 become `\ufffd`."""
        return super().__new__(cls, text if isinstance(text, str) else text.decode(errors="replace"))


def begin(raw: bytes, at: int) -> int:
    """Return the offset of the value at `at`, after its attributes."""
    while raw[at] == 124:
        end = raw.index(b"\r\n", at)
        pairs, at = int(raw[at + 1 : end]), end + 2
        for _ in range(pairs * 2):
            at = decoded(raw, at)[1]
    return at


_SCALARS: dict[bytes, Callable[[bytes], Value]] = {b"+": bytes, b":": int, b"(": int, b",": float}
_SCALARS |= {b"-": Failure, b"_": lambda _: None, b"#": b"tT".__contains__}


def decoded(raw: bytes, at: int) -> tuple[Value, int]:
    """Return the value at `at` and the offset of its end. `raw` must be a complete, checked frame."""
    at = begin(raw, at)
    end = raw.index(b"\r\n", at)
    kind, text, at = raw[at : at + 1], raw[at + 1 : end], end + 2
    if kind in _SCALARS:
        return _SCALARS[kind](text), at
    if text == b"-1":
        return None, at
    count = int(text)
    if kind in b"$!=":
        body, at = raw[at : at + count], at + count + 2
        return Failure(body) if kind == b"!" else body[4:] if kind == b"=" else body, at
    items: list[Value] = []
    for _ in range(count * 2 if kind == b"%" else count):
        item, at = decoded(raw, at)
        items.append(item)
    if kind != b"%":
        return items, at
    try:
        return dict(zip(items[::2], items[1::2], strict=True)), at
    except TypeError:  # an array or a map cannot be a key of a Python dict
        return [items[i : i + 2] for i in range(0, len(items), 2)], at
