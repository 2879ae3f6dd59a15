"""The probes need nothing of the kit, and nothing that Python 3.8 lacks.

tests/kit/test_probes.py runs them without the kit; this one reads them.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PROBES = Path(__file__).parents[2] / "brownout" / "probes"
MODULES = sorted(PROBES.glob("*.py"))
APPLICATION = {"celery", "kombu"}  # what the application has; fastapi or redis, when a probe needs them
NEW_MODULES = {"graphlib", "tomllib", "zoneinfo", "collections.abc"}  # the last one has no generics in 3.8
NEW_NAMES = {
    *("removeprefix", "removesuffix", "is_relative_to", "with_stem", "waitstatus_to_exitcode", "pidfd_send_signal"),
    *("to_thread", "TaskGroup", "aclosing", "cache", "pairwise", "batched", "ExceptionGroup", "add_note"),
    *("ParamSpec", "Concatenate", "TypeAlias", "Self", "override"),
    *("strict", "slots", "kw_only"),  # of zip and dataclass
}
GENERIC_LATER = {"dict", "list", "set", "frozenset", "tuple", "type", "deque", "defaultdict", "Counter"}


def imports(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield "." * node.level + (node.module or "")


def running(node: ast.AST) -> Iterator[ast.AST]:
    """All that is evaluated when the code runs: annotations are not."""
    yield node
    for name, value in ast.iter_fields(node):
        if name not in ("annotation", "returns"):
            for child in value if isinstance(value, list) else [value]:
                if isinstance(child, ast.AST):
                    yield from running(child)


def too_new(source: str) -> list[str]:
    """What Python 3.8 does not know, as far as the text tells."""
    found = []
    for node in running(ast.parse(source, feature_version=(3, 8))):
        match node:
            case ast.Attribute(attr=name) | ast.keyword(arg=name) | ast.alias(name=name) if name in NEW_NAMES:
                found.append(str(name))
            case ast.Subscript(value=ast.Name(id=name)) if name in GENERIC_LATER:
                found.append(f"{name}[...]")
            # Flags are attributes; types and dictionaries have no `|` in 3.8.
            case ast.BinOp(op=ast.BitOr(), right=right) if not isinstance(right, ast.Attribute):
                found.append(ast.unparse(node))
    return found


@pytest.mark.parametrize("module", MODULES, ids=lambda each: each.stem)
def test_a_probe_imports_what_an_application_has(module: Path) -> None:
    for name in imports(ast.parse(module.read_text())):
        top = name.partition(".")[0]
        ours = name == "brownout.probes" or name.startswith("brownout.probes.")
        assert ours or top in APPLICATION or top in sys.stdlib_module_names, name
        assert name not in NEW_MODULES, f"{name} is not there in Python 3.8"


@pytest.mark.parametrize("module", MODULES, ids=lambda each: each.stem)
def test_a_probe_keeps_to_python_3_8(module: Path) -> None:
    source = module.read_text()
    assert too_new(source) == []
    assert "from __future__ import annotations" in source.splitlines() or "->" not in source


@pytest.mark.parametrize("module", [Path(__file__).parents[2] / "brownout" / "__init__.py"], ids=["brownout"])
def test_what_is_imported_on_the_way_is_light(module: Path) -> None:
    tree = ast.parse(module.read_text())
    at_once = [name for node in tree.body if not isinstance(node, ast.If) for name in imports(node)]
    assert set(at_once) <= sys.stdlib_module_names
    test_a_probe_keeps_to_python_3_8(module)


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("match = isinstance(a, int | float)", ["int | float"]),
        ("x = {**a} | {'b': 1}", ["{**a} | {'b': 1}"]),
        ("x = set[str]()", ["set[...]"]),
        ("x: dict[str, int | None] = {}\ndef f(a: int | None) -> list[int]: return os.A | os.B", []),
        ("x = name.removesuffix('()'); zip(a, b, strict=True)", ["removesuffix", "strict"]),
        ("from functools import cache", ["cache"]),
    ],
)
def test_what_is_too_new_is_found(source: str, found: list[str]) -> None:
    assert too_new(source) == found


def test_syntax_that_is_too_new_is_found() -> None:
    with pytest.raises(SyntaxError):
        too_new("match a:\n    case 1: pass")
