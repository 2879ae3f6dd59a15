"""What a process of the system does not do at its start: run with settings that contradict each other, and migrate a
database that a newer release has migrated."""

import pytest
from sqlalchemy import create_engine, text

from brownout.subject.waiting import eventually
from tests.integration.running import SLACK, NewSystem

NEWER = "9999"


@pytest.mark.parametrize(
    ("part", "variables", "sentence"),
    [
        (
            "worker",
            {"SYSTEM_VISIBILITY_TIMEOUT": "50", "SYSTEM_TIME_LIMIT": "40", "SYSTEM_BACKOFF_MAX": "10"},
            "visibility_timeout must exceed time_limit + backoff_max",
        ),
        (
            "relay",
            {"SYSTEM_RETENTION": "155", "SYSTEM_VISIBILITY_TIMEOUT": "120", "SYSTEM_TIME_LIMIT": "30"},
            "retention must exceed visibility_timeout + time_limit + 5 s",
        ),
        (
            "api",
            {"SYSTEM_SOFT_TIME_LIMIT": "30", "SYSTEM_TIME_LIMIT": "30"},
            "soft_time_limit must be below time_limit",
        ),
    ],
    ids=["visibility timeout", "retention", "soft limit"],
)
def test_a_process_whose_settings_contradict_each_other_ends_and_says_why(
    new_system: NewSystem, part: str, variables: dict[str, str], sentence: str
) -> None:
    system = new_system(f"refused-{part}")
    if part == "worker":
        system.worker(part, "-c", "1", **variables)
    elif part == "relay":
        system.relay(**variables)
    else:
        system.api(**variables)
    process = system.process(part)
    eventually(
        lambda: not process.alive,
        within=SLACK,
        what=f"the process ends, because {sentence}",
        evidence=process.tail,
    )
    assert process.returncode != 0
    assert sentence in system.log(part).read_text()


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
