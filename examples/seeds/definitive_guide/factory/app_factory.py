from celery import Celery
from fastapi import FastAPI

from examples.seeds.definitive_guide.factory.config import get_settings
from examples.seeds.definitive_guide.factory.routers import api_router


def create_app() -> FastAPI:
    app = FastAPI()
    settings = get_settings()
    app.state.settings = settings
    app.include_router(api_router)
    app.state.celery = Celery(
        settings.APP_NAME, broker=settings.CELERY_BROKER_URL, backend=settings.CELERY_RESULT_BACKEND
    )
    return app
