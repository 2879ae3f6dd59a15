"""Where the built-in API differs from toxiproxy-server 2.12 on purpose. docs/toxiproxy.md has a line for each."""

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from tests.kit.toxiproxy_servers import Answer

FOREIGN = ("192.0.2.1:0", "[2001:db8::1]:0")  # for documentation (RFC 5737, RFC 3849): no machine has them


@dataclass(frozen=True)
class Asked:
    """One request."""

    method: str
    path: str
    body: bytes | None = None


def alike(answer: Answer) -> Answer:
    """The answer without differences that every answer of its kind has: `logger`, `words`."""
    return replace(answer, data=_plain(answer.data))


def _plain(data: Any) -> Any:
    if isinstance(data, list):
        return [_plain(item) for item in data]
    if isinstance(data, dict):
        return {key: _plain(value) for key, value in data.items() if key != "Logger"}
    if isinstance(data, str):
        return re.sub(r"(?s)^(bad request body: ).*", r"\1…", data)
    return data


def foreign(asked: Asked, official: Answer, ours: Answer) -> bool:
    """`loopback`: the built-in wire listens on the loopback alone; the server tries each address, and fails."""
    error = ours.data.get("error", "") if isinstance(ours.data, dict) else ""
    refused = ours.status == 400 and error.startswith("the built-in wire listens on the loopback alone")
    tried = official.status == 500 and any(f"listen tcp {address}: bind" in str(official.data) for address in FOREIGN)
    return refused and tried


def half_done(asked: Asked, official: Answer, ours: Answer) -> bool:
    """`half-done`: the server keeps the attributes that came before the one it refused."""
    changes = asked.method in ("POST", "PATCH") and re.fullmatch("/proxies/[^/]+/toxics/[^/]+", asked.path)
    return bool(changes) and alike(official) == alike(ours) and ours.status == 400


def some_order(asked: Asked, official: Answer, ours: Answer) -> bool:
    """`order`: the server resets its proxies in no fixed order, and stops at the first that cannot listen."""
    return asked.path == "/reset" and official.status == ours.status == 500


#: After one of these the two servers are no longer in the same state.
EXCEPTIONS: dict[str, Callable[[Asked, Answer, Answer], bool]] = {
    "loopback": foreign,
    "half-done": half_done,
    "order": some_order,
}
