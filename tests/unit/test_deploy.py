"""The Compose file and the systemd units, as data; `tests/integration/test_deploy.py` starts the units' commands."""

import configparser
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from system.settings import Settings

DEPLOY = Path(__file__).parents[2] / "deploy"
COMPOSE: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = {"api", "relay", "worker", "beat", "flower"}
UNITS = sorted((DEPLOY / "systemd").glob("*.service"))
#: The keys of a service in the Compose specification that this file uses: a misspelt one is ignored by nobody.
KEYS = {
    "build", "cap_drop", "command", "depends_on", "environment", "healthcheck", "image", "ports", "read_only",
    "restart", "security_opt", "stop_grace_period", "tmpfs", "user", "volumes",
}  # fmt: skip


def test_the_parts_are_there() -> None:
    assert set(SERVICES) == OURS | {"redis", "postgres"}
    assert {key for service in SERVICES.values() for key in service} <= KEYS
    assert set(COMPOSE["volumes"]) == {"redis", "postgres"}


@pytest.mark.parametrize("name", SERVICES)
def test_a_container_is_confined_and_comes_back(name: str) -> None:
    service = SERVICES[name]
    assert not service["user"].startswith("0")
    assert service["read_only"] is True
    assert (service["cap_drop"], service["security_opt"]) == (["ALL"], ["no-new-privileges:true"])
    assert service["restart"] == "always"
    assert service["healthcheck"]["test"][0] in ("CMD", "CMD-SHELL")
    assert all(port.startswith("127.0.0.1:") for port in service.get("ports", []))


def test_redis_writes_what_it_accepts_and_evicts_nothing() -> None:
    command = " ".join(SERVICES["redis"]["command"])
    assert "--appendonly yes" in command
    assert "--maxmemory-policy noeviction" in command
    assert "--requirepass" in command


@pytest.mark.parametrize("name", sorted(OURS))
def test_a_service_has_settings_that_the_system_knows_and_no_secret(name: str) -> None:
    service = SERVICES[name]
    given = {key.removeprefix("SYSTEM_").lower() for key in service["environment"] if key.startswith("SYSTEM_")}
    assert given - {"api_keys"} <= set(Settings.model_fields)
    secrets = [value for key, value in service["environment"].items() if re.search("URL|KEYS|AUTH", key) and value]
    assert all(re.search(r"\$\{[A-Z_]+:\?\}", value) for value in secrets), "without its secret nothing starts"
    assert service["depends_on"] == {part: {"condition": "service_healthy"} for part in ("redis", "postgres")}


def test_flower_is_behind_a_password() -> None:
    assert "FLOWER_BASIC_AUTH" in SERVICES["flower"]["environment"]


def test_a_worker_may_end_its_task() -> None:
    limit = Settings(_env_file=None).time_limit
    assert float(SERVICES["worker"]["stop_grace_period"].removesuffix("s")) > limit
    (worker,) = (unit for unit in UNITS if "worker" in unit.name)
    assert float(read(worker)["Service"]["TimeoutStopSec"]) > limit


def test_the_health_checks_are_python() -> None:
    for service in (SERVICES[name] for name in OURS):
        *command, code = service["healthcheck"]["test"]
        assert command == ["CMD", "python", "-c"]
        compile(code, "health check", "exec")


def read(unit: Path) -> configparser.ConfigParser:
    """A unit; of a key that is there twice, the last."""
    parser = configparser.ConfigParser(strict=False, interpolation=None)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read_string(unit.read_text())
    return parser


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_a_unit_starts_again_whatever_ended(unit: Path) -> None:
    parsed = read(unit)
    assert parsed["Service"]["Restart"] == "always"
    assert parsed["Unit"]["StartLimitIntervalSec"] == "0", "it never gives up"
    assert parsed["Service"]["User"] == "system"
    assert parsed["Service"]["ExecStart"].startswith("/opt/system/.venv/bin/")
    assert parsed["Service"]["NoNewPrivileges"] == "yes"


def test_units_and_containers_start_the_same_parts() -> None:
    names = {unit.stem.removeprefix("system-").removesuffix("@") for unit in UNITS}
    assert names == OURS
