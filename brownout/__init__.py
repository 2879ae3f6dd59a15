"""Find out what a FastAPI + Celery + Redis system really does when a part of it fails."""

# Importing a probe imports this module first, also on Python 3.8, so the module must run there.
from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    # Only type checkers read these imports, because they cannot follow the lists of promises and faults in `authoring`.
    from brownout.authoring import *  # noqa: F403 - for type checkers alone
    from brownout.check.promises import *  # noqa: F403 - for type checkers alone
    from brownout.faults import *  # noqa: F403 - for type checkers alone
# type checkers must not see `__getattr__`, because with that function they would accept every name, also a misspelt
# name
else:

    def __getattr__(name: str) -> Any:
        """Import a public name when it is first used, because pytest imports this package at every start."""
        if name == "__all__" or not name.startswith("_"):
            from importlib import import_module

            authoring = import_module("brownout.authoring")
            if name in ("__all__", *authoring.__all__):
                return getattr(authoring, name)
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

    def __dir__() -> list[str]:
        """The names that scenarios import from the package `brownout`."""
        from brownout.authoring import __all__ as names

        return sorted(names)
