"""`brownout lint` on real applications: the reference system, and the documents' applications with their mistakes."""

from pathlib import Path

import pytest

from brownout.lint.facts import read
from brownout.lint.table import RULES
from brownout.subject.application import NotImportable, Unusable
from examples.seeds.catalogue import MISTAKES

ROOT = Path(__file__).parents[2]
STOCK = {"no-socket-timeout", "channel-error-ends-worker", "early-ack"}  # Celery as it comes
SHARED = STOCK | {"one-database"}
STATUS = SHARED | {"backend-stops-publishing"}
API = {"background-work"}

#: What is found in each application, read and found true: Celery application, ASGI application, rules.
FOUND = {
    "async_handlers": ("async_handlers.main", "async_handlers.main", STOCK | {"publish-on-loop"}),
    "definitive_guide, chapter 3": ("definitive_guide.main", "definitive_guide.main", SHARED),
    # There is no task in it.
    "definitive_guide, chapter 4": (
        *("definitive_guide.factory.main", "definitive_guide.factory.main"),
        SHARED - {"early-ack"},
    ),
    "rest_api": ("rest_api.tasks", "rest_api.main", STATUS | {"publish-on-loop"}),
    "rest_api, notifications": ("", "rest_api.notifications", API),
    "background_tasks": ("", "background_tasks.main", API),
    "background_error-wrong": ("", "background_error.wrong", API),
    "background_error-mended": ("", "background_error.mended", API),
    "acks_early-wrong": ("acks_early.wrong", "acks_early.wrong", STOCK | {"lost-prefetch-credit"}),
    "acks_early-mended": (
        *("acks_early.mended", "acks_early.mended"),
        (STOCK - {"early-ack"}) | {"lost-prefetch-credit", "unbounded-redelivery"},
    ),
    "blocking_loop-wrong": ("blocking_loop.wrong", "blocking_loop.wrong", STOCK | {"publish-on-loop"}),
    "blocking_loop-mended": ("blocking_loop.mended", "blocking_loop.mended", STOCK - {"no-socket-timeout"}),
    "cpu_on_loop-wrong": ("cpu_on_loop.wrong", "cpu_on_loop.wrong", STOCK | {"task-on-loop"}),
    "cpu_on_loop-mended": ("cpu_on_loop.mended", "cpu_on_loop.mended", STOCK),
    "failure_result-wrong": ("failure_result.wrong", "failure_result.wrong", STATUS),
    "failure_result-mended": ("failure_result.mended", "failure_result.mended", STATUS),
    "ignoring_results-wrong": ("ignoring_results.wrong", "ignoring_results.wrong", SHARED | {"result-never-stored"}),
    "ignoring_results-mended": ("ignoring_results.mended", "ignoring_results.mended", STATUS),
    "no_retry-wrong": ("no_retry.wrong", "no_retry.wrong", STOCK),
    "no_retry-mended": ("no_retry.mended", "no_retry.mended", STOCK),
    "not_monitoring-wrong": ("not_monitoring.wrong", "not_monitoring.wrong", STOCK),
    "not_monitoring-mended": ("not_monitoring.mended", "not_monitoring.mended", STOCK),
    "one_database-wrong": ("one_database.wrong", "one_database.wrong", STATUS),
    "one_database-mended": ("one_database.mended", "one_database.mended", STATUS - {"one-database"}),
    "overusing_background-wrong": ("overusing_background.wrong", "overusing_background.wrong", STOCK | API),
    "overusing_background-mended": ("overusing_background.mended", "overusing_background.mended", STOCK),
    "short_visibility-wrong": ("short_visibility.wrong", "short_visibility.wrong", STOCK | {"short-visibility"}),
    "short_visibility-mended": ("short_visibility.mended", "short_visibility.mended", STOCK),
}


def found(celery: str, api: str, **env: str) -> set[str]:
    facts = read(celery, api, ROOT, env)
    return {rule.id for rule in RULES.values() if list(rule.findings(facts))}


@pytest.mark.parametrize("example", FOUND)
def test_an_example(example: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("BROKER_URL", "RESULT_URL", "DELAY_SECONDS", "VISIBILITY_SECONDS"):
        monkeypatch.delenv(name, raising=False)
    celery, api, rules = FOUND[example]
    assert found(celery and f"examples.seeds.{celery}:celery", f"examples.seeds.{api}:app") == rules


def test_every_example_is_read() -> None:
    assert {f"{mistake.name}-{variant}" for mistake in MISTAKES for variant in ("wrong", "mended")} <= {*FOUND}
    folders = {folder.name for folder in (ROOT / "examples" / "seeds").iterdir() if (folder / "__init__.py").exists()}
    assert {api.partition(".")[0] for _, api, _ in FOUND.values()} == folders
    assert all(rules for *_, rules in FOUND.values())


def test_the_reference_system_is_sound() -> None:
    assert found("system.worker", "system.main:app") == set()


def test_the_environment_counts() -> None:
    """A visibility timeout above the countdown, given by `--env`, takes the finding away."""
    name = "examples.seeds.short_visibility.wrong"
    assert "short-visibility" in found(f"{name}:celery", f"{name}:app", VISIBILITY_SECONDS="7200")
    assert "short-visibility" not in found(f"{name}:celery", f"{name}:app", VISIBILITY_SECONDS="7201")


def test_an_application_that_fails_is_told(tmp_path: Path) -> None:
    (tmp_path / "broken.py").write_text("import missing_thing")
    with pytest.raises(NotImportable, match="needs the module missing_thing"):
        read("broken", "", tmp_path, {"PYTHONPATH": str(ROOT)})


def test_a_name_of_something_else_is_answered_with_the_applications_there_are() -> None:
    name = "examples.seeds.acks_early.wrong"
    said = f"{name} is no Celery application, but of type FastAPI; there is {name}:celery"
    with pytest.raises(Unusable, match=said):
        read(name, "", ROOT, {})
