"""Retries go on for ever."""

from system.settings import Settings
from system.worker import app

app.settings = Settings(**{**app.settings.model_dump(), "max_retries": 1_000})  # type: ignore[misc]
