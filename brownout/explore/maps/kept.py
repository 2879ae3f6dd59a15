"""Results that are kept as JSON files, whose differences can be read."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any, ClassVar, Self


class Kept:
    """A dataclass with a file format. `_record` and `_made` turn those of its fields that JSON does not have.

    `complete` says that nothing interrupted what it tells of, `part` that only a part of that was asked for.
    """

    KIND: ClassVar[str]  # what the file says it is
    SCHEMA: ClassVar[int] = 1
    _LAST: ClassVar[str]  # the field that is long, and comes last
    complete: bool
    part: bool

    @property
    def whole(self) -> bool:
        """Whether all was asked for, and nothing interrupted it."""
        return self.complete and not self.part

    def to_json(self) -> str:
        """Text whose differences can be read: an item a line, always in the same order."""
        plain = {each.name: getattr(self, each.name) for each in fields(self)}  # type: ignore[arg-type]  # whatever is kept is a dataclass
        record = {"kind": self.KIND, "schema": self.SCHEMA} | plain | self._record()
        return _readable(record | {self._LAST: record.pop(self._LAST)})

    @classmethod
    def from_json(cls, text: str | bytes) -> Self:
        """Read what `to_json` wrote; ValueError for anything else, and for what a newer brownout wrote."""
        try:
            given = json.loads(text)
            if given.pop("kind") != cls.KIND:
                raise ValueError("it is something else")
            if (schema := given.pop("schema")) != cls.SCHEMA:
                raise ValueError(f"of schema {schema}; this brownout reads {cls.SCHEMA}")
            return cls(**given | cls._made(given))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            missing = "no " if isinstance(error, KeyError) else ""
            raise ValueError(f"not a {cls.KIND}: {missing}{error}") from error

    def save(self, path: Path) -> None:
        """Write the file, whole or not at all; a pipe or a device is written to, and a link is followed.

        Raises OSError.
        """
        if path.exists() and not path.is_file():
            path.write_text(self.to_json(), encoding="utf-8")
            return
        path = path.resolve()
        new = path.with_name(f".{path.name}.{os.getpid()}")
        new.write_text(self.to_json(), encoding="utf-8")
        new.replace(path)

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read the file; ValueError, with its path, when there is nothing of the kind in it."""
        try:
            return cls.from_json(path.read_bytes())
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from error

    def _record(self) -> dict[str, Any]:
        raise NotImplementedError

    @classmethod
    def _made(cls, given: Mapping[str, Any]) -> dict[str, Any]:
        raise NotImplementedError


def _readable(record: Mapping[str, Any]) -> str:
    """An object, each of its items a line of its own, and each item of those."""
    return "{\n" + ",\n".join(f" {_dump(name)}: {_lines(value)}" for name, value in record.items()) + "\n}\n"


def _dump(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False)


def _lines(value: Any) -> str:
    """JSON, an item of a list or of an object a line."""
    if isinstance(value, list | tuple) and value:
        return "[\n" + ",\n".join(f"  {_dump(item)}" for item in value) + "\n ]"
    if isinstance(value, Mapping) and value:
        return "{\n" + ",\n".join(f"  {_dump(name)}: {_dump(item)}" for name, item in value.items()) + "\n }"
    return _dump(value)
