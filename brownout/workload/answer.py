"""What an API's answer says: the id of the task or job, and its state. The id and the state are looked for at any depth
of the answer's JSON."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

from brownout.history.operation import RANK

#: Field names under which APIs usually tell an id or a state, the likeliest first; a name that the application gives is
#: tried before them.
IDS = ("task_id", "taskId", "job_id", "jobId", "id", "uuid")
STATES = ("task_status", "status", "state")
TASK = "{task}"


def task_of(content: Any, location: str, name: str, status: str | None = None) -> tuple[str | None, bool]:
    """Return the id of the job in an API's answer, and whether the id is a guess, which may not be the id of a Celery
    task.

    The id is the field `name` at any depth of the body, else a field that usually has an id, else a part of the
    `location` header: the part that stands for the id in `status`, the path that tells a state, or the last part.
    """
    for field in dict.fromkeys((name, *IDS)):
        for value in _values(content, field):
            if isinstance(value, str | int) and not isinstance(value, bool) and value != "":
                return str(value), field != name
    path = urlsplit(location).path
    before, place, after = urlsplit((status or "").replace("{id}", TASK)).path.partition(TASK)
    found = re.fullmatch(f"{re.escape(before)}([^/]+){re.escape(after)}", path) if place else None
    end = found[1] if found else path.rstrip("/").rpartition("/")[2]
    return end or None, bool(end)


def state_in(content: Mapping[str, Any], name: str) -> Any:
    """Return the state in an answer's JSON, from the field `name`, else from the first field whose value is a known
    state."""
    if name in content:
        return content[name]
    for field in STATES:
        for value in _values(content, field):
            if isinstance(value, str) and value.upper() in RANK:
                return value
    return None


def _values(content: Any, name: str) -> Iterator[Any]:
    """Return the values of all fields with this name; the fields nearest to the top of the JSON come first."""
    level = [content]
    while level:
        yield from (item[name] for item in level if isinstance(item, dict) and name in item)
        nested = [list(item.values()) if isinstance(item, dict) else item for item in level]
        level = [value for values in nested if isinstance(values, list) for value in values]
