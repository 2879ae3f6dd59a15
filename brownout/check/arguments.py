"""The arguments of a promise: they are checked when an author writes them, and stored as JSON for the checker."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Iterable, Mapping
from collections.abc import Set as AnySet
from typing import Any, Literal, get_args, get_origin, get_type_hints

from brownout.plan.duration import Duration, seconds
from brownout.plan.near import known
from brownout.plan.promise import Promise

_TIME = frozenset(get_args(Duration))


class Arguments:
    """Return the parameters of a checker without its first parameter, the history. Raises TypeError if the function's
    parameters are not those of a checker."""

    def __init__(self, rule: Callable[..., Any]) -> None:
        self._rule = rule
        self.name = rule.__name__
        self.origin = (rule.__module__, rule.__qualname__)
        parameters = list(inspect.signature(rule).parameters.values())
        variadic = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
        if not parameters or any(parameter.kind in variadic for parameter in parameters):
            raise TypeError(f"{self.name} is no checker: a checker takes a history, then arguments that have names")
        self._hints = get_type_hints(rule)
        self._signature = inspect.Signature(parameters[1:], return_annotation=Promise)

    def copy_signature(self, make: Callable[..., Promise]) -> None:
        """Copy the name, the signature and the docstring of a checker to the function that makes its promises."""
        make.__name__, make.__qualname__, make.__module__ = self.name, self._rule.__qualname__, self._rule.__module__
        make.__doc__ = self._rule.__doc__
        parameters = self._signature.parameters.values()
        make.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
        make.__annotations__["return"] = Promise
        make.__signature__ = self._signature  # type: ignore[attr-defined]  # inspect.signature reads it

    def to_json(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> dict[str, Any]:
        """Return the arguments of a promise as JSON values, with the defaults; a default that is None, False or empty
        is left out.

        Raises TypeError for an argument that the checker does not take, and ValueError for a value that makes no sense.
        """
        try:
            bound = self._signature.bind(*args, **kwargs)
        except TypeError as error:
            raise TypeError(f"{self.name}() {error}") from None
        bound.apply_defaults()
        parameters = self._signature.parameters
        return {
            name: self._json(name, value)
            for name, value in bound.arguments.items()
            if value or parameters[name].default is parameters[name].empty or value != parameters[name].default
        }

    def from_json(self, args: Mapping[str, Any]) -> dict[str, Any]:
        """Return the arguments for the checker, made from the JSON values of a promise."""
        return {
            name: Promise(value["name"], value["args"]) if Promise in self._types(name) and value else value
            for name, value in args.items()
        }

    def _types(self, name: str) -> frozenset[Any]:
        hint = self._hints.get(name)
        return frozenset(get_args(hint) or (hint,))

    def _choices(self, name: str) -> list[str]:
        hint = self._hints.get(name)
        literals = [type_ for type_ in (hint, *get_args(hint)) if get_origin(type_) is Literal]
        return [value for literal in literals for value in get_args(literal)]

    def _json(self, name: str, value: Any) -> Any:
        if isinstance(value, Promise):
            return {"name": value.name, "args": dict(value.args)}
        if value is not None and self._types(name) >= _TIME:
            return seconds(value)
        if value is not None and (choices := self._choices(name)):
            return known(f"`{name}` of {self.name}", value, choices)
        if isinstance(value, AnySet):
            value = sorted(value)
        elif isinstance(value, Iterable) and not isinstance(value, str | Mapping):
            value = list(value)
        try:
            json.dumps(value, allow_nan=False)
        except (TypeError, ValueError) as error:
            raise ValueError(
                f"`{name}` of {self.name} must be JSON, to be stored in a plan: {value!r} ({error})"
            ) from None
        return value
