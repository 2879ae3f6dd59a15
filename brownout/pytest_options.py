"""The options of the pytest plugin; each can be set on the command line or in pytest's configuration file."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from brownout.plan.shard import Shard

PROVIDERS = ("auto", "container", "local", "embedded")
WIRES = ("builtin", "toxiproxy")
LAUNCHES = ("auto", "forked", "cold")
RUN = "brownout_run"  # xdist's controller gives its processes the name of the run by this name
OPTIONS = ("provider", "wire", "launch", "python", "seed", "store", "shard", "keep")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add options to the command line and to pytest's configuration file: the option `--chaos-seed` is called
    `chaos_seed` in the file."""
    group = parser.getgroup("brownout")

    def option(name: str, help: str, default: str = "", **more: Any) -> None:
        twin = name.replace("-", "_")
        group.addoption(f"--{name}", help=f"{help} (ini: {twin})", **more)
        parser.addini(twin, help, default=default)

    option("chaos-provider", "where Redis comes from", "auto", choices=PROVIDERS)
    option("chaos-wire", "what carries network faults out", "builtin", choices=WIRES)
    option("chaos-launch", "how processes of the subject are started", "auto", choices=LAUNCHES)
    option(
        "chaos-python",
        "the application's Python, or its environment (default: as the application says)",
        metavar="PATH",
    )
    option("chaos-seed", "seed of all random choices in a trial (default: a new seed for each trial)", metavar="N")
    option("chaos-store", "where trials leave their traces, from the root directory", "store", metavar="DIR")
    option("chaos-shard", "only the N-th of M equal parts of the tests, such as 2/4", metavar="N/M")
    option("chaos-keep", "of how many runs the store keeps the traces", "20", metavar="N")


def chosen(config: pytest.Config, name: str) -> str:
    """Return the value of an option from the command line, or else from the configuration file."""
    value = config.getoption(name)
    return str(config.getini(name) if value is None else value)


def provider(config: pytest.Config) -> str:
    """Return the Redis provider that the user asked for."""
    return chosen(config, "chaos_provider")


def number(config: pytest.Config, name: str, least: int, below: int = sys.maxsize) -> int:
    """Return the value of an option that must be a whole number. Raises pytest.UsageError when the value is not a whole
    number in the allowed range."""
    value = chosen(config, name)
    if not value.isdecimal() or not least <= int(value) < below:
        raise pytest.UsageError(f"{name} is a whole number from {least} to {below - 1}, not {value!r}")
    return int(value)


def seed(config: pytest.Config) -> int | None:
    """Return the seed that the user asked for, or None when each trial has a new seed."""
    return number(config, "chaos_seed", 0, 1 << 64) if chosen(config, "chaos_seed") else None


def shard(config: pytest.Config) -> Shard | None:
    """The shard asked for, or None when all tests are to run. Raises pytest.UsageError."""
    if not (text := chosen(config, "chaos_shard")):
        return None
    from brownout.plan.shard import Shard

    if config.getoption("lf", False):  # then only a part is collected, another one on each machine
        raise pytest.UsageError("--lf runs what failed on this machine: leave the shard out")
    try:
        return Shard.parse(text)
    except ValueError as error:
        raise pytest.UsageError(f"chaos_shard: {error}") from error
