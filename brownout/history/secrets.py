"""Takes secrets out of texts and out of the files of a trial.

A secret is known by its value, when a plan or an environment gives it a name such as "password", or it is found by its
place in a text: the password of a URL, what follows "token=" or "Authorization:". `Mask` does both.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote, quote_plus, unquote

from brownout.probes.configuration import LEFT_OUT

HIDDEN = "***"
#: Fields of a job's row that have what a client sent or got.
PRIVATE = frozenset({"args", "kwargs", "body", "result"})
LEAST = 8  # characters; a shorter value is found by its place only, because other texts may contain it by chance
#: Passwords that everybody knows. They are also names of programs and users, so that their texts are not searched for.
COMMON = frozenset({"password", "postgres", "postgresql", "rabbitmq", "changeme", "brownout", "localhost"})
_WORDS = (
    r"pass(?:word|wd|phrase|code)|pwd|secret|token(?!iz)|credential|signature"
    r"|(?:api|access|private|account|signing|encryption|master)[_-]?key|authorization|cookie"
)
#: Names of fields and headers whose value is a secret.
_NAME = re.compile(rf"{_WORDS}|(?<![a-z])(?:auth|dsn)(?![a-z])", re.IGNORECASE)
#: Cheaper than `_PLACES`: most texts contain none of these.
_HINT = rf"{_WORDS}|://|[?&]|\bbearer\b|\bbasic\b|private key"
_HINTS, _HINTS_IN_BYTES = re.compile(_HINT, re.IGNORECASE), re.compile(_HINT.encode(), re.IGNORECASE)
#: What stands between a name and its value, in JSON, in Python, in a header.
_SET = r"(?:\\*+['\"])*+\s*+[=:]\s*+(?:\\*+['\"])*+"
_KEPT = rf"(?!\{{[a-z]+\}}|\(left out|{re.escape(HIDDEN)})"  # a placeholder and a value that is hidden already stay
#: Where a secret stands: each pattern has what stays, and the secret.
_PLACES = tuple(
    re.compile(pattern, flags)
    for pattern, flags in (
        # The password of a URL, up to the last @ of the word: a password that was not encoded may itself contain @.
        (rf"(://){_KEPT}(\S*)(?=@)", 0),
        (rf"((?:authorization|cookie){_SET}){_KEPT}((?<=\")[^\"\n\\]+|(?<=')[^'\n\\]+|[^\n]+)", re.IGNORECASE),
        (
            rf"\b([\w-]*(?:{_WORDS})(?:[_-]\w+)?{_SET}){_KEPT}"
            r"((?<=\")[^\"\n\\]+|(?<=')[^'\n\\]+|[^\s,;&'\"}\\]+)",
            re.IGNORECASE,
        ),
        (rf"([?&][^=&\s]*(?:pass|secret|token|key|sig|auth)[^=&\s]*=){_KEPT}([^&\s\"'#]+)", re.IGNORECASE),
        (r"\b((?:bearer|basic)\s+)(?=\S*[\d._=-])([\w.~+/=-]{8,})", re.IGNORECASE),
        (r"(-----BEGIN [A-Z ]*PRIVATE KEY-----)(.+?)(?=-----END|\Z)", re.DOTALL),
    )
)
_EVENT = ("at", "source", "kind", "key", "task", "pid")  # fields of an event that checkers read; none is a secret


def names_secret(name: str) -> bool:
    """Whether the value of a field or header of this name is a secret."""
    return bool(_NAME.search(name))


def redacted(text: str) -> str:
    """Replace the passwords in URLs, and the values of names such as "password" or "token", by ***."""
    if _HINTS.search(text):
        for pattern in _PLACES:
            text = pattern.sub(rf"\1{HIDDEN}", text)
    return text


def secrets_in(text: str, *, whole: bool = False) -> Iterator[str]:
    """Yield the secrets that `redacted` finds in a text; with `whole` the text itself is a secret, too."""
    found = [text] if whole else []
    for pattern in _PLACES:
        found += [match[2] for match in pattern.finditer(text)]
    for secret in found:
        yield from dict.fromkeys((secret, unquote(secret)))
        user, colon, password = secret.partition(":")
        if colon and "/" not in user:  # of a URL, or of HTTP's basic authentication
            yield from dict.fromkeys((password, unquote(password)))
        scheme, _, rest = secret.partition(" ")
        if rest:
            yield rest
        if scheme.lower() == "basic":
            with suppress(ValueError):
                yield base64.b64decode(rest, validate=True).decode().partition(":")[2]


def forms(secret: str) -> frozenset[str]:
    """How the text of a secret may be written: as it is, in JSON, in Python, in a URL, and in base64."""
    quoted = {json.dumps(secret)[1:-1], json.dumps(secret, ensure_ascii=False)[1:-1], repr(secret)[1:-1]}
    quoted |= {quote(secret), quote(secret, safe=""), quote_plus(secret)}
    data = secret.encode("utf-8", "replace")
    for offset, skipped in enumerate((0, 2, 3)):  # base64 has three forms, by the number of bytes before the secret
        text = base64.b64encode(bytes(offset) + data).decode()[skipped : (offset + len(data)) * 8 // 6]
        quoted |= {text, text.replace("+", "-").replace("/", "_")} if len(text) >= LEAST else set()
    return frozenset({secret, *quoted})


class Mask:
    """Hides the secrets with these values, and those that `redacted` finds. `names` are texts, such as the names of
    processes, that must stay: a value that is part of one is not searched for."""

    def __init__(self, values: Iterable[str], names: Iterable[str] = ()) -> None:
        self._names = stay = tuple(names)
        self.values = frozenset(
            value
            for value in values
            if len(value) >= LEAST and value.lower() not in COMMON and not any(value in name for name in stay)
        )
        texts = sorted({form for value in self.values for form in forms(value)}, key=len, reverse=True)
        self._forms = tuple(form.encode() for form in texts)
        self._known = re.compile("|".join(map(re.escape, texts)) or r"(?!)")

    def also(self, texts: Iterable[str]) -> Mask:
        """A mask that hides the secrets in these texts, too."""
        found = frozenset(secret for text in texts for secret in secrets_in(text)) - self.values
        return Mask(self.values | found, self._names) if found else self

    def text(self, text: str) -> str:
        """The text without secrets."""
        return redacted(self._known.sub(HIDDEN, text) if self._forms else text)

    def value(self, value: Any, *, named: bool = False) -> Any:
        """A JSON value without secrets in its texts; with `named` every text in it is a secret."""
        if isinstance(value, str):
            return HIDDEN if named and value not in ("", LEFT_OUT) else self.text(value)
        if isinstance(value, dict):
            return {
                self.text(name): self.value(item, named=named or names_secret(name)) for name, item in value.items()
            }
        return [self.value(item, named=named) for item in value] if isinstance(value, list) else value

    def line(self, line: bytes) -> bytes:
        """A line of NDJSON without secrets. The fields of an event that checkers read stay, so that verdicts do."""
        if not self._suspect(line):
            return line
        try:
            record = json.loads(line)
        except ValueError:
            record = None
        if not isinstance(record, dict):  # a line that was cut off, or no line of JSON
            return self._plain(line)
        stay = {name: record[name] for name in record if name in _EVENT}
        clean = {**record, **self.value({name: item for name, item in record.items() if name not in stay})}
        return line if clean == record else json.dumps(clean, separators=(",", ":")).encode()

    def clean(self, folder: Path) -> None:
        """Take the secrets out of all files below a folder that no process writes to any more.

        In a file that is no text, each known value is overwritten with as many asterisks. Files that cannot be read or
        written stay as they are.
        """
        for path in sorted(folder.rglob("*")):
            # `capsule.write` has left the secrets out of the plan, and counts them.
            if path.is_file() and not path.is_symlink() and path.name != "plan.json":
                with suppress(OSError):
                    before = path.read_bytes()
                    after = self._cleaned(path, before)
                    if after != before:
                        path.write_bytes(after)

    def _cleaned(self, path: Path, data: bytes) -> bytes:
        if b"\0" in data:
            for form in self._forms:
                data = data.replace(form, b"*" * len(form))
            return data
        if path.suffix == ".json":
            with suppress(ValueError):
                record = json.loads(data)
                clean = self.value(record)
                return data if clean == record else json.dumps(clean).encode()
        if path.suffix == ".ndjson":
            return b"\n".join(map(self.line, data.split(b"\n")))
        if b"PRIVATE KEY-----" in data:  # such a key has several lines
            return self._plain(data)
        return b"".join(self._plain(line) if self._suspect(line) else line for line in data.splitlines(keepends=True))

    def _suspect(self, data: bytes) -> bool:
        return bool(_HINTS_IN_BYTES.search(data)) or any(form in data for form in self._forms)

    def _plain(self, data: bytes) -> bytes:
        return self.text(data.decode("utf-8", "surrogateescape")).encode("utf-8", "surrogateescape")


def shown(row: Mapping[str, object]) -> dict[str, object]:
    """The fields of a job's row that a report may show: not those that have what a client sent or got."""
    return {name: value for name, value in row.items() if name not in PRIVATE}
