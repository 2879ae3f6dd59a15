"""The options that make a request the submission: what is sent, and which path tells the status."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from brownout.cli.parser import MANY, Usage, option
from brownout.plan.secrets import FILL_IN, typed, unfilled
from brownout.probes.configuration import hidden

if TYPE_CHECKING:
    from brownout.explore.experiment import Workload
    from brownout.plan.operation import Http

_JSON = """its JSON body, an object or an array; where a result is written, any other word is its FILE, - for standard
output (default: none)"""
_STATUS = "path that tells the state; {id} is the id of the answer's body or location, {key} the key (default: none)"
_PATH = "a path of --api; {key} and {n} become the request's key and number, also in body and headers (default: none)"


class JsonOrFile(argparse.Action):
    """`--json`: a JSON object or array is the body of a request, any other word a file."""

    def __call__(self, parser: argparse.ArgumentParser, given: argparse.Namespace, value: Any, *_: object) -> None:
        """Store the word as `body` or as `json`."""
        body = None
        with suppress(ValueError):
            body = json.loads(value)
        if not isinstance(body, dict | list):
            given.json = Path(value)
        elif "body" not in given:
            parser.error("--json: a FILE is wanted, not a JSON body")
        else:
            given.body = body


@dataclass(frozen=True, kw_only=True)
class HttpOptions:
    """A request instead of a task."""

    post: str | None = option("--post PATH", _PATH)
    put: str | None = option("--put PATH", _PATH)
    json: Path | None = option("--json JSON", _JSON, action=JsonOrFile)
    body: Any = None  # of --json
    label: str | None = None  # of a workload in the project's file
    form: tuple[str, ...] = option("--form NAME=VALUE", "fields of its form (default: none)", **MANY)
    header: tuple[str, ...] = option("--header NAME:VALUE", "its headers (default: none)", **MANY)
    status: str | None = option("--status PATH", _STATUS)

    def request(self) -> Http | None:
        """The request, or None when a task is sent. Raises Usage."""
        from brownout.plan.operation import Http

        if self.post and self.put:
            raise Usage("--post or --put, not both")
        if self.json and not hasattr(self, "as_json"):
            raise Usage(f"--json: a JSON object or array is wanted, not {str(self.json)!r}")
        path = self.post or self.put
        if not path:
            if self.body is not None or self.form or self.header or self.status:
                raise Usage("a JSON body, --form, --header and --status belong to --post or --put")
            return None
        for name, word in (("--post" if self.post else "--put", path), ("--status", self.status or "/")):
            if not word.startswith("/"):
                raise Usage(f"{name}: a path begins with a slash: {word!r}")
        if self.body is not None and self.form:
            raise Usage("a request has a JSON body or a form, not both")
        if self.status and not any(place in self.status for place in ("{id}", "{key}")):
            raise Usage(f"--status needs the place of the id, as /tasks/{{id}}: {self.status!r}")
        headers = dict(_pairs("--header", ":", self.header))
        if missing := [name for name, value in headers.items() if value == FILL_IN]:
            raise Usage(
                f"--header {missing[0]}:{FILL_IN} needs its value: values that look like secrets are not stored"
            )
        form = dict(_pairs("--form", "=", self.form))
        for flag, given in (("--post or --put", path), ("--json", self.body), ("--form", form)):
            whole(flag, given)
        return Http("POST" if self.post else "PUT", path, self.body, headers, form)

    def own_workload(self, name: str | None) -> Workload | None:
        """The workload that sends the request, or the one of the project's file; None for one that brownout knows."""
        from brownout.explore.experiment import Workload

        if request := self.request():
            return Workload(self.label or name or "http", "a request to the API, and its job", http=request)
        return Workload(self.label, "a task of the application") if self.label else None

    @property
    def status_path(self) -> str | None:
        """The path that tells a state, as an Application has it."""
        return self.status and self.status.replace("{id}", "{task}")

    def http_words(self) -> Mapping[str, Any]:
        """What to type for the same request, without values of headers that look like secrets."""
        headers = [f"{name}:{_header(name, value)}" for name, value in _pairs("", ":", self.header)]
        form = [f"{name}={typed('form', {name: value})[name]}" for name, value in _pairs("", "=", self.form)]
        body = None if self.body is None else json.dumps(typed("json", self.body), ensure_ascii=False)
        texts = {"--post": self.post, "--put": self.put, "--status": self.status}
        return {
            **{name: text and typed("path", text) for name, text in texts.items()},
            **{"--json": body, "--form": form, "--header": headers},
        }


def whole(flag: str, value: Any) -> None:
    """Raise Usage when a value was copied from what is stored, and a secret in it is still to be filled in."""
    if unfilled(value):
        raise Usage(f"{flag}: {FILL_IN} needs its value: values that look like secrets are not stored")


def _header(name: str, value: str) -> str:
    return FILL_IN if hidden(name, value) else str(typed("headers", {name: value})[name])


def _pairs(flag: str, mark: str, words: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    for word in words:
        name, marked, value = word.partition(mark)
        if not (name and marked):
            raise Usage(f"{flag} is NAME{mark}VALUE: {word!r}")
        yield name.strip(), value.strip() if mark == ":" else value
