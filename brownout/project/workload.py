"""Chooses what a first map sends: a route that publishes a task, else a task; with arguments made from its schema."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from brownout.lint.facts import Facts
from brownout.project.look import Guess

DEPTH = 5
_STATUS = re.compile(r"status|result|task|job|state", re.IGNORECASE)
_ONE = re.compile(r"\{[^/{}]+\}")


@dataclass(frozen=True)
class Sent:
    """A workload for the project's file, with the reason for each of its values."""

    name: str
    values: Mapping[str, Any]
    why: Mapping[str, str]


def choose(facts: Facts) -> Sent | None:
    """Return the workload, or None when there is neither a route that publishes a task nor a task."""
    for route in facts.routes:
        methods, _, path = route.route.partition(" ")
        method = next((method for method in ("POST", "PUT") if method in methods.split(",")), "")
        published = next((call for call in route.calls if call.kind == "publish"), None)
        if method and published and "{" not in path:
            return _request(facts, method, path, published.task or "a task", published.place)
    for name, task in facts.tasks.items():
        why = {"task": "no route was found that sends a task; it is the first task of the application"}
        values: dict[str, Any] = {"task": name}
        if task.needs:
            values["args"] = [_argument(parameter) for parameter in task.needs]
            why["args"] = "guessed from the parameters' names"
        return Sent(_named(name), values, why)
    return None


def ready(facts: Facts) -> Guess | None:
    """Return a path that answers when the API works, or None when the path is "/" or when there is no API."""
    paths = [path for method, _, path in (route.route.partition(" ") for route in facts.routes) if method == "GET"]
    plain = [path for path in paths if "{" not in path and not path.endswith((".json", "redirect"))]
    if not plain or "/" in plain:
        return None
    path = next((path for path in plain if re.search("health|ready|alive|ping", path)), plain[0])
    return Guess(path, "there is no route /; this one needs no parameter")


def _request(facts: Facts, method: str, path: str, task: str, place: str) -> Sent:
    values: dict[str, Any] = {method.lower(): path}
    why = {method.lower(): f"it sends {task} ({place})"}
    route = facts.openapi.get("paths", {}).get(path, {}).get(method.lower(), {})
    content = route.get("requestBody", {}).get("content", {})
    for kind, key in (("application/json", "json"), ("application/x-www-form-urlencoded", "form")):
        if kind in content:
            values[key] = example(content[kind].get("schema", {}), facts.openapi)
            why[key] = "made from the route's schema: put a body here that your task can work on"
    if status := _status(facts):
        values["status"] = _ONE.sub("{id}", status, count=1)
        why["status"] = "a route with one parameter that reads a result, or is called like one"
    return Sent(_named(path), values, why)


def _status(facts: Facts) -> str | None:
    """Return the path that tells a job's state; a route that reads an AsyncResult is preferred."""
    paths = [
        (not any(call.kind == "result" for call in route.calls), route.route.partition(" ")[2])
        for route in facts.routes
        if route.route.startswith("GET ") and len(_ONE.findall(route.route)) == 1
    ]
    return next((path for worse, path in sorted(paths) if not worse or _STATUS.search(path)), None)


def _named(text: str) -> str:
    return re.sub(r"[^\w-]+", "-", text.rpartition(".")[2]).strip("-") or "first"


def example(schema: Mapping[str, Any], whole: Mapping[str, Any], depth: int = DEPTH) -> Any:
    """Return a small value that fits a JSON schema: its example or default, else a value of its type."""
    if "$ref" in schema:
        found: Any = whole
        for part in str(schema["$ref"]).removeprefix("#/").split("/"):
            found = found.get(part, {})
        return example(found, whole, depth - 1) if depth else {}
    for key in ("example", "default", "const"):
        if key in schema:
            return schema[key]
    for key in ("examples", "enum"):
        if schema.get(key):
            return schema[key][0]
    for key in ("anyOf", "oneOf", "allOf"):
        if schema.get(key):
            return example(schema[key][0], whole, depth - 1) if depth else {}
    kind = schema.get("type")
    if kind == "array":
        wanted = schema.get("minItems", 0)
        return [example(schema.get("items", {}), whole, depth - 1)] * wanted if depth else []
    if kind in ("integer", "number"):
        return schema.get("minimum", schema.get("exclusiveMinimum", 0) + 1)
    if kind == "string":
        return _text(schema)
    if kind == "boolean":
        return True
    properties, wanted = schema.get("properties", {}), schema.get("required", ()) if depth else ()
    return {name: example(properties.get(name, {}), whole, depth - 1) for name in wanted}


def _text(schema: Mapping[str, Any]) -> str:
    formats = {"email": "a@example.org", "date-time": "2030-01-01T00:00:00Z", "date": "2030-01-01",
               "uuid": "00000000-0000-4000-8000-000000000001", "uri": "http://127.0.0.1/"}  # fmt: skip
    return formats.get(str(schema.get("format"))) or "a" * max(1, int(schema.get("minLength", 1)))


def _argument(name: str) -> Any:
    if re.search(r"(^|_)(data|payload|body|item|options|params|kwargs)$", name):
        return {}
    if re.search(r"(^|_)(id|n|x|y|count|number|amount|size|seconds|limit)$", name):
        return 1
    return "a"
