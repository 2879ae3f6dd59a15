"""Chooses what a first map sends: a route that publishes a task, else a task; with arguments made from its schema."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from brownout.lint.facts import Call, Facts, Route
from brownout.project.look import Guess

DEPTH = 5
SWEEP, LONGEST = 100.0, 300.0  # seconds
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
            return _request(facts, method, path, route, published)
    for name, task in facts.tasks.items():
        why = {"task": "no route was found that sends a task; it is the first task of the application"}
        values: dict[str, Any] = {"task": name}
        if task.needs:
            values["args"] = [_argument(parameter) for parameter in task.needs]
            why["args"] = "guessed from the parameters' names"
        return Sent(_named(name), values, why)
    return None


def patience(facts: Facts) -> float:
    """How long (s) a late-acked task of a dead worker may wait for its second delivery; 0 when no task is acked late,
    and when that would take longer than LONGEST.

    kombu looks every 100 s for messages whose visibility timeout is over (kombu.transport.redis).
    """
    late = any(task.acks_late for task in facts.tasks.values())
    seconds = facts.celery.visibility + SWEEP if facts.celery and late else 0.0
    return seconds if seconds <= LONGEST else 0.0


def ready(facts: Facts) -> Guess | None:
    """Return a path that answers when the API works, or None when the path is "/" or when there is no API."""
    paths = [path for method, _, path in (route.route.partition(" ") for route in facts.routes) if method == "GET"]
    plain = [path for path in paths if "{" not in path and not path.endswith((".json", "redirect"))]
    if not plain or "/" in plain:
        return None
    path = next((path for path in plain if re.search("health|ready|alive|ping", path)), plain[0])
    return Guess(path, "there is no route /; this one needs no parameter")


def _request(facts: Facts, method: str, path: str, route: Route, published: Call) -> Sent:
    values: dict[str, Any] = {method.lower(): path}
    why = {method.lower(): f"it sends {published.task or 'a task'} ({published.place})"}
    described = facts.openapi.get("paths", {}).get(path, {}).get(method.lower(), {})
    content = described.get("requestBody", {}).get("content", {})
    for kind, key in (("application/json", "json"), ("application/x-www-form-urlencoded", "form")):
        if kind in content:
            values[key] = example(content[kind].get("schema", {}), facts.openapi)
            why[key] = "made from the route's schema: put a body here that your task can work on"
            if values[key] == {} and route.keys:
                values[key] = {name: _argument(name) for name in route.keys}
                why[key] = (
                    "guessed from the keys that the route's code reads: put a body here that your task can work on"
                )
    if status := _status(facts, path):
        values["status"] = _ONE.sub("{id}", status, count=1)
        why["status"] = "a route with one parameter that reads a result, is called like one, or reads what was posted"
    return Sent(_named(path), values, why)


def _status(facts: Facts, posted: str) -> str | None:
    """The path that tells a state: best a route that reads an AsyncResult, else one that is called like that, else the
    route of what was posted."""
    found = []
    for route in facts.routes:
        path = route.route.partition(" ")[2]
        if route.route.startswith("GET ") and len(_ONE.findall(path)) == 1:
            below = path.startswith(f"{posted.rstrip('/')}/{{")
            result = any(call.kind == "result" for call in route.calls)
            if result or _STATUS.search(path) or (below and _may_tell(facts, path)):
                found.append((not result, not below, not _STATUS.search(path), path))
    return min(found)[-1] if found else None


def _may_tell(facts: Facts, path: str) -> bool:
    """Whether the answer of a route may have a state: it has a field that is called so, or its fields are unknown."""
    answers = facts.openapi.get("paths", {}).get(path, {}).get("get", {}).get("responses", {})
    schema = answers.get("200", {}).get("content", {}).get("application/json", {}).get("schema", {})
    properties = _resolved(schema, facts.openapi).get("properties")
    return not properties or any(re.search("stat(us|e)$", name) for name in properties)


def _named(text: str) -> str:
    return re.sub(r"[^\w-]+", "-", text.rpartition(".")[2]).strip("-") or "first"


def example(schema: Mapping[str, Any], whole: Mapping[str, Any], depth: int = DEPTH) -> Any:
    """Return a small value that fits a JSON schema: its example or default, else a value of its type."""
    if "$ref" in schema:
        return example(_resolved(schema, whole), whole, depth - 1) if depth else {}
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
        # two, so that a list is no special case for what makes a group or a chord of it
        wanted = max(schema.get("minItems", 0), min(2, schema.get("maxItems", 2)) if schema.get("items") else 0)
        return [example(schema.get("items", {}), whole, depth - 1)] * wanted if depth else []
    if kind in ("integer", "number"):
        return schema.get("minimum", schema.get("exclusiveMinimum", 0) + 1)
    if kind == "string":
        return _text(schema)
    if kind == "boolean":
        return True
    properties, wanted = schema.get("properties", {}), schema.get("required", ()) if depth else ()
    return {name: example(properties.get(name, {}), whole, depth - 1) for name in wanted}


def _resolved(schema: Mapping[str, Any], whole: Mapping[str, Any]) -> Mapping[str, Any]:
    """The schema that a reference leads to, or the schema itself."""
    found: Any = whole
    for part in str(schema.get("$ref", "")).removeprefix("#/").split("/") if "$ref" in schema else ():
        found = found.get(part, {})
    return found if "$ref" in schema else schema


def _text(schema: Mapping[str, Any]) -> str:
    formats = {"email": "a@example.org", "date-time": "2030-01-01T00:00:00Z", "date": "2030-01-01",
               "uuid": "00000000-0000-4000-8000-000000000001", "uri": "http://127.0.0.1/"}  # fmt: skip
    return formats.get(str(schema.get("format"))) or "a" * max(1, int(schema.get("minLength", 1)))


def _argument(name: str) -> Any:
    if re.search(r"(^|_)(data|payload|body|item|options|params|kwargs)$", name):
        return {}
    if re.search(r"(^|_)(id|n|x|y|count|number|amount|size|seconds|limit|type)$", name):
        return 1
    return "a"
