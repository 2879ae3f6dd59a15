"""Log lines as JSON, each with the id of the job that it is about: the same field in the API, the relay and workers."""

import logging
import sys

from celery import current_task
from pythonjsonlogger.core import RESERVED_ATTRS
from pythonjsonlogger.json import JsonFormatter

#: Celery's records carry the arguments of the task in `data`, and clients' data belongs in no log.
LEFT_OUT = [*RESERVED_ATTRS, "data", "color_message"]
FIELDS = "%(asctime)s %(levelname)s %(name)s %(message)s %(processName)s %(job)s"


class JobField(logging.Filter):
    """Sets `job` of each record: what the call gave (`extra={"job": id}`), or the job of Celery's record, or the task
    that runs in this process now. None for a line that is about no job."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Set the field; no record is dropped."""
        if getattr(record, "job", None) is None:
            data = getattr(record, "data", None)
            told = data.get("id") if isinstance(data, dict) else None
            record.job = told or (current_task.request.id if current_task else None)
        return True


def log_json(level: int = logging.INFO) -> None:
    """From now on, write all log lines of this process as JSON to standard error; also those of uvicorn and gunicorn,
    which have handlers of their own."""
    handler = logging.StreamHandler(sys.stderr)
    handler.addFilter(JobField())
    handler.setFormatter(JsonFormatter(FIELDS, reserved_attrs=LEFT_OUT, rename_fields={"levelname": "level"}))
    logging.basicConfig(level=level, handlers=[handler], force=True)
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access", "gunicorn.error", "gunicorn.access"):
        logger = logging.getLogger(name)
        logger.handlers.clear()
        logger.propagate = True
