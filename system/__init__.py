"""The reference system: FastAPI, Celery and Redis put together so that an accepted job ends exactly once."""
