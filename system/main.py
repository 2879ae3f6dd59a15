"""What `uvicorn system.main:app` and gunicorn serve."""

from system.factory import create_app

app = create_app()
