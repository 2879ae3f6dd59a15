"""Find out what a FastAPI + Celery + Redis system really does when a part of it fails."""

# The probes are imported through here, by Pythons as old as 3.8.
from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    # For type checkers only, which cannot follow the lists of promises and faults through `authoring`.
    from brownout.authoring import *  # noqa: F403 - for type checkers alone
    from brownout.check.promises import *  # noqa: F403 - for type checkers alone
    from brownout.faults import *  # noqa: F403 - for type checkers alone
else:  # hidden from type checkers, to which it would make every name good

    def __getattr__(name: str) -> Any:
        """What authors use, imported when it is first asked for: pytest imports this package at every start."""
        if name == "__all__" or not name.startswith("_"):
            from importlib import import_module

            authoring = import_module("brownout.authoring")
            if name in ("__all__", *authoring.__all__):
                return getattr(authoring, name)
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

    def __dir__() -> list[str]:
        """The names that scenarios import from here."""
        from brownout.authoring import __all__ as names

        return sorted(names)
