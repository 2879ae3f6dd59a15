"""What a process of the system does not do at its start: run with settings that contradict each other, and migrate a
database that a newer release has migrated."""

from collections.abc import Iterator

import pytest
from sqlalchemy import create_engine, text

from brownout.subject.waiting import eventually
from tests.integration.running import SLACK, NewSystem, Running

NEWER = "9999"


# part of the system: variables of its environment, and what it says about them
REFUSED = {
    "worker": (
        {"SYSTEM_VISIBILITY_TIMEOUT": "50", "SYSTEM_TIME_LIMIT": "40", "SYSTEM_BACKOFF_MAX": "10"},
        "visibility_timeout must exceed time_limit + backoff_max",
    ),
    "relay": (
        {"SYSTEM_RETENTION": "155", "SYSTEM_VISIBILITY_TIMEOUT": "120", "SYSTEM_TIME_LIMIT": "30"},
        "retention must exceed visibility_timeout + time_limit + 5 s",
    ),
    "api": (
        {"SYSTEM_SOFT_TIME_LIMIT": "30", "SYSTEM_TIME_LIMIT": "30"},
        "soft_time_limit must be below time_limit",
    ),
}


@pytest.fixture(scope="module")
def refused(make_system: NewSystem) -> Iterator[Running]:
    """A worker, a relay and an API, each with settings that contradict each other in its own way."""
    with make_system("refused") as system:
        variables = {part: given for part, (given, _) in REFUSED.items()}
        yield system.worker("worker", **variables["worker"]).relay(**variables["relay"]).api(**variables["api"])


@pytest.mark.parametrize(
    ("part", "sentence"),
    [(part, sentence) for part, (_, sentence) in REFUSED.items()],
    ids=["visibility timeout", "retention", "soft limit"],
)
def test_a_process_whose_settings_contradict_each_other_ends_and_says_why(
    refused: Running, part: str, sentence: str
) -> None:
    process, what = refused.process(part), f"the process ends, because {sentence}"
    eventually(lambda: not process.alive, within=2 * SLACK, what=what, evidence=process.tail)
    assert process.returncode != 0
    assert sentence in refused.log(part).read_text()


def test_a_database_of_a_newer_release_is_used_as_it_is(new_system: NewSystem) -> None:
    """As in a rolling deploy, when a process of the older release is started again."""
    system = new_system("older")
    system.app.store.create()
    engine = create_engine(system.settings.store_url)
    with engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = :newer"), {"newer": NEWER})
    engine.dispose()
    system.api().relay().ready()
    job = system.submit("/divide", {"x": 1, "y": 2})
    assert system.status(job)["task_status"] == "PENDING"
    assert system.rows("select version_num from alembic_version") == [(NEWER,)]
