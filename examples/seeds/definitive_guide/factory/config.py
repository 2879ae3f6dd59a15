from pydantic import AliasChoices, Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class Settings(BaseSettings):
    model_config = SettingsConfigDict(env_file=".env", extra="ignore")

    APP_NAME: str = "FastAPI with Celery"
    CELERY_BROKER_URL: str = Field(
        "redis://127.0.0.1:6379/0", validation_alias=AliasChoices("CELERY_BROKER_URL", "BROKER_URL")
    )
    CELERY_RESULT_BACKEND: str = Field(
        "redis://127.0.0.1:6379/0", validation_alias=AliasChoices("CELERY_RESULT_BACKEND", "RESULT_URL")
    )


def get_settings() -> Settings:
    return Settings()
