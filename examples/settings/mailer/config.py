from pydantic_settings import BaseSettings, SettingsConfigDict


class Settings(BaseSettings):
    """The URLs of the office's machine. A variable such as MAILER_REDIS_URL names another one."""

    model_config = SettingsConfigDict(env_prefix="MAILER_")

    redis_url: str = "redis://localhost:6379/0"
    results_url: str = "redis://localhost:6379/1"
    sender: str = "office@example.org"


settings = Settings()
