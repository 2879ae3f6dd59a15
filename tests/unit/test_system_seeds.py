"""What the seeds say and what works (seeds.md, row 28): the documents' code fails, the corrected form runs."""

from typing import Any

import pydantic
import pytest
from fastapi import APIRouter, FastAPI
from pydantic import PydanticImportError
from pydantic_settings import BaseSettings, SettingsConfigDict

from system.factory import create_app
from system.settings import Settings


@pytest.mark.parametrize("name", ["config", "import_name"])
def test_flasks_attributes_do_not_exist_on_fastapi(name: str, config: Settings) -> None:
    assert not hasattr(FastAPI(), name)
    assert not hasattr(create_app(config), name)


def test_what_works_instead_of_app_config(config: Settings) -> None:
    app = create_app(config)
    assert app.state.services.settings is config
    assert app.state.services.celery.conf.broker_url == str(config.broker_url)


def test_pydantic_has_no_base_settings_any_more() -> None:
    with pytest.raises(PydanticImportError, match="pydantic-settings"):
        _ = pydantic.BaseSettings


def test_what_works_instead_of_pydantics_base_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    class Documents(BaseSettings):
        model_config = SettingsConfigDict(env_prefix="DOCUMENTS_")
        app_name: str = "FastAPI with Celery"

    monkeypatch.setenv("DOCUMENTS_APP_NAME", "another")
    assert Documents().app_name == "another"
    assert issubclass(Settings, BaseSettings)


def test_there_is_no_celery_integration_for_fastapi() -> None:
    with pytest.raises(ModuleNotFoundError):
        __import__("fastapi_celery")


def test_what_works_instead_of_an_integration(config: Settings) -> None:
    """A Celery application beside the FastAPI one, made from the same settings."""
    celery = create_app(config).state.services.celery
    assert {"system.divide", "system.process_data", "system.deliver", "system.tick"} <= celery.tasks.keys()


def test_celerys_failure_is_no_json_and_the_stores_is() -> None:
    """`task_result.result` of a FAILURE is an exception: returned raw, it is a 500."""
    with pytest.raises(TypeError, match="not JSON serializable"):
        __import__("json").dumps({"task_result": ZeroDivisionError("division by zero")})


def test_a_router_can_stand_under_a_prefix(config: Settings) -> None:
    app = create_app(config)
    outer = APIRouter()

    @outer.get("/ping")
    def ping() -> dict[str, Any]:
        return {}

    app.include_router(outer, prefix="/more")
    assert "/more/ping" in app.openapi()["paths"]
