"""What came from the subject, made fit to be shown: on one line, no longer than it helps, without its secrets."""

from __future__ import annotations

import re

_SECRETS = (
    # The password of a URL. Up to the last @ of the word: one that was not encoded may hold anything.
    (re.compile(r"(://)\S*@"), r"\1***@"),
    (
        re.compile(
            r"(?i)\b([\w-]*(?:password|passwd|secret|token|api[_-]?key|authorization)['\"]?\s*[=:]\s*['\"]?)"
            r"(?:(?:bearer|basic)\s+)?[^\s,;&'\"}]+"
        ),
        r"\1***",
    ),
)


def redacted(text: str) -> str:
    """The text without passwords of URLs, and without the values of what is called a password, token or the like."""
    for pattern, instead in _SECRETS:
        text = pattern.sub(instead, text)
    return text


def clean(value: object, longest: int = 300) -> str:
    """One printable line: no secrets, no control characters (a log may colour a terminal, or forge a report's line)."""
    text = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in redacted(str(value)))
    return text if len(text) <= longest else f"{text[: longest - 1]}…"
