"""S0: async handlers beside Celery tasks. Corrected: `some_async_function` exists; sending is as printed."""
