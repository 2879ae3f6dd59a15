"""Results as JSON files with one item on each line, so that a person can read the differences of two files."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any, ClassVar, Self


class Kept:
    """A result that is a dataclass and is stored as a JSON file. The methods `_record` and `_made` convert the fields
    that have types which JSON does not have.

    If `complete` is true, nothing interrupted the command. If `part` is true, the command was asked for only a part of
    the results. If `shard` is "2/4", the file has the second of four parts, each made on a machine of its own.
    """

    KIND: ClassVar[str]  # the value of the field "kind" in the JSON file
    SCHEMA: ClassVar[int] = 1
    _LAST: ClassVar[str]  # the name of the field with the longest value; it comes last in the file
    complete: bool
    part: bool
    shard: str

    @property
    def whole(self) -> bool:
        """Whether the command was asked for all results in one shard, and nothing interrupted it."""
        return self.complete and not self.part and not self.shard

    def to_json(self) -> str:
        """Return the result as JSON text with one item on each line, always in the same order."""
        plain = {attribute.name: getattr(self, attribute.name) for attribute in fields(self)}  # type: ignore[arg-type]  # whatever is kept is a dataclass
        record = {"kind": self.KIND, "schema": self.SCHEMA} | plain | self._record()
        return _readable(record | {self._LAST: record.pop(self._LAST)})

    @classmethod
    def from_json(cls, text: str | bytes) -> Self:
        """Read a result that `to_json` wrote. Raises ValueError for a text that `to_json` did not write, and for a text
        that a newer version of brownout wrote."""
        try:
            record = json.loads(text)
            if record.pop("kind") != cls.KIND:
                raise ValueError("the file has another kind")
            if (schema := record.pop("schema")) != cls.SCHEMA:
                raise ValueError(f"its schema is {schema}; this brownout reads {cls.SCHEMA}")
            return cls(**record | cls._made(record))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            missing = "no " if isinstance(error, KeyError) else ""
            raise ValueError(f"not a {cls.KIND}: {missing}{error}") from error

    def save(self, path: Path) -> None:
        """Write the result to the file; after an error the old file is unchanged. If `path` is a pipe or a device, the
        text is written to it; if `path` is a symbolic link, the link's target is written.

        Raises OSError when the file cannot be written.
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
        """Read a result from a file. Raises ValueError, with the path, when the file has no result of this class."""
        try:
            return cls.from_json(path.read_bytes())
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from error

    def _record(self) -> dict[str, Any]:
        raise NotImplementedError

    @classmethod
    def _made(cls, record: Mapping[str, Any]) -> dict[str, Any]:
        raise NotImplementedError


def _readable(record: Mapping[str, Any]) -> str:
    """Return a JSON object with one line for each field, and one line for each item of a field."""
    return "{\n" + ",\n".join(f" {_dump(name)}: {_lines(value)}" for name, value in record.items()) + "\n}\n"


def _dump(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False)


def _lines(value: Any) -> str:
    """Return JSON text that has one line for each item of a list or an object."""
    if isinstance(value, list | tuple) and value:
        return "[\n" + ",\n".join(f"  {_dump(item)}" for item in value) + "\n ]"
    if isinstance(value, Mapping) and value:
        return "{\n" + ",\n".join(f"  {_dump(name)}: {_dump(item)}" for name, item in value.items()) + "\n }"
    return _dump(value)
