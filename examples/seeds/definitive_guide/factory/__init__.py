"""S3, chapter 4. Corrected: BaseSettings comes from pydantic-settings; FastAPI has no `.config` and no
`.import_name`, so settings and Celery live in `app.state`."""
