"""Texts that came from the subject, made safe to show: on one line, short, and without secrets."""

from __future__ import annotations

from brownout.history.secrets import redacted as redacted


def printable(text: str, keep: str = "\n\t") -> str:
    """The text with each character escaped that is neither printable nor one of `keep`; lone surrogates are escaped."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c in keep else c.encode("unicode_escape").decode() for c in text)


def clean(value: object, longest: int = 300) -> str:
    """One printable line of at most `longest` characters, without secrets.

    Control characters are escaped: a log could otherwise colour the terminal, or imitate a line of the report.
    """
    text = printable(redacted(str(value)), keep="")
    return text if len(text) <= longest else f"{text[: longest - 1]}…"
