"""S2: the blog post. Corrected: no `fastapi_celery`, a package that does not exist; Celery needs no integration."""
