"""The options of the pytest plugin; each command line option has a twin in pytest's configuration file."""

from __future__ import annotations

import sys
from typing import Any

import pytest

PROVIDERS = ("auto", "container", "local", "embedded")
WIRES = ("builtin", "toxiproxy")
LAUNCHES = ("auto", "forked", "cold")
OPTIONS = ("provider", "wire", "launch", "seed", "store", "keep")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add options with their twins in pytest's configuration file: the twin of `--chaos-seed` is `chaos_seed`."""
    group = parser.getgroup("brownout")

    def option(name: str, help: str, default: str = "", **more: Any) -> None:
        twin = name.replace("-", "_")
        group.addoption(f"--{name}", help=f"{help} (ini: {twin})", **more)
        parser.addini(twin, help, default=default)

    option("chaos-provider", "where Redis comes from", "auto", choices=PROVIDERS)
    option("chaos-wire", "what carries network faults out", "builtin", choices=WIRES)
    option("chaos-launch", "how processes of the subject are started", "auto", choices=LAUNCHES)
    option("chaos-seed", "seed of every chance in a trial; a new one each time when there is none", metavar="N")
    option("chaos-store", "where trials leave their traces, from the root directory", "store", metavar="DIR")
    option("chaos-keep", "of how many runs the store keeps the traces", "20", metavar="N")


def chosen(config: pytest.Config, name: str) -> str:
    """Return the value of a command line option, else of its twin in the configuration file."""
    value = config.getoption(name)
    return str(config.getini(name) if value is None else value)


def provider(config: pytest.Config) -> str:
    """Return the Redis provider that the user asked for."""
    return chosen(config, "chaos_provider")


def number(config: pytest.Config, name: str, least: int, below: int = sys.maxsize) -> int:
    """Return the value of an option that must be a whole number. Raises pytest.UsageError when the value is no such
    number."""
    value = chosen(config, name)
    if not value.isdecimal() or not least <= int(value) < below:
        raise pytest.UsageError(f"{name} is a whole number from {least} to {below - 1}, not {value!r}")
    return int(value)


def seed(config: pytest.Config) -> int | None:
    """Return the seed that the user asked for, or None when each trial has a new seed."""
    return number(config, "chaos_seed", 0, 1 << 64) if chosen(config, "chaos_seed") else None
