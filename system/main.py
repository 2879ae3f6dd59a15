"""The FastAPI application for `uvicorn system.main:app` and gunicorn."""

from system.factory import create_app

app = create_app()
