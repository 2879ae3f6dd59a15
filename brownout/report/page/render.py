"""Renders a template as one page: styles and script inline, and a Content-Security-Policy that allows nothing else.

Texts from the subject may hold markup, control characters or secrets. Jinja2 escapes markup; `shown`, through which
every value of every template goes, does the rest.
"""

from __future__ import annotations

import os
from base64 import b64encode
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from brownout.report.clean import printable, redacted

if TYPE_CHECKING:
    from jinja2 import Environment

FOLDER: Final = Path(__file__).parent / "templates"


def render(template: str, **values: Any) -> str:
    """The page that the template makes of the values."""
    text: str = _environment().get_template(template).render(values)
    return text


def save(path: Path, page: str) -> Path:
    """Write the page, whole or not at all, and return its path. Raises OSError."""
    new = path.with_name(f".{path.name}.{os.getpid()}")
    new.write_text(page, encoding="utf-8")
    new.replace(path)
    return path


def shown(value: object) -> object:
    """A value as a template puts it out: without secrets and control characters; markup and numbers as they are."""
    if not isinstance(value, str) or hasattr(value, "__html__"):
        return value
    return printable(redacted(value))


@cache
def _environment() -> Environment:
    """The templates. Jinja2 is imported only when a page is made: pytest imports this package in every run."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined
    from markupsafe import Markup

    made = Environment(
        loader=FileSystemLoader(FOLDER),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=shown,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters["digits"] = lambda number: f"{float(f'{number:.3g}'):g}"  # three significant digits, no exponent
    # These two files are part of the program. Everything else in a page is escaped.
    style, script = ((FOLDER / name).read_text(encoding="utf-8") for name in ("page.css", "page.js"))
    made.globals["style"], made.globals["script"] = Markup(style), Markup(script)  # noqa: S704
    made.globals["policy"] = "; ".join(
        (
            "default-src 'none'",
            f"style-src '{_hash(style)}'",
            f"script-src '{_hash(script)}'",
            "img-src data:",  # the empty icon, without which a browser asks the server for one
            "base-uri 'none'",
            "form-action 'none'",
        )
    )
    return made


def _hash(text: str) -> str:
    return f"sha256-{b64encode(sha256(text.encode()).digest()).decode()}"
