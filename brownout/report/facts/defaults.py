"""Values that nobody chose: the defaults of Celery and kombu by which a person recognises them."""

from __future__ import annotations

#: Kind of anomaly: the defaults that its measured value may be, by their value in seconds.
DEFAULTS: dict[str, dict[float, str]] = {
    "misbackoff": {180: "Celery's default_retry_delay", 600: "Celery's default retry_backoff_max"},
    "unacked": {3600: "kombu's default visibility_timeout"},
    "stored": {86400: "Celery's default result_expires"},
}


def named_default(kind: str, value: float) -> str:
    """A sentence when this value is a default: "180 s is Celery's default_retry_delay"; "" for any other value."""
    default = DEFAULTS.get(kind, {}).get(value)
    return f"{value:g} s is {default}" if default else ""
