"""The system without its watchdog, in one cell of its map. The map is a file of its own, because it runs trials when it
is collected."""

from dataclasses import replace

import pytest

from brownout import MapCell, fault_map
from tests.chaos.conftest import system

pytestmark = pytest.mark.chaos
pytest_generate_tests = fault_map(
    config="own",
    application=replace(system(), celery="tests.chaos.without.watchdog"),
    task="system.divide",
    args=(1, 2),
    points=["worker->broker/ZREM#1/after-cut"],
    actions=["cut"],
)


def test_without_its_watchdog_a_worker_whose_ack_failed_falls_silent(cell: MapCell) -> None:
    """kombu keeps the prefetch credit of an ack that failed, and a worker with one credit asks for nothing any more."""
    cell.run().must_be("once+silent")
