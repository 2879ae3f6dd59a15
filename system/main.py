"""The FastAPI application for `uvicorn system.main:app` and gunicorn."""

from system.factory import create_app
from system.observe import observe
from system.settings import get_settings

observe(get_settings(), "api")
app = create_app()
