"""The eleven mistakes as data: which application makes it, which one mends it, what shows it.

Each pair is started in the same way from the repository's root, with the variables of `environment`:

    uvicorn examples.seeds.<name>.wrong:app --host 127.0.0.1
    celery -A examples.seeds.<name>.wrong:celery worker --concurrency 1
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Request:
    """What exercises a mistake. `{key}` in path and body stands for the operation's key."""

    method: str
    path: str
    json: Mapping[str, Any] | None = None

    def with_key(self, key: str) -> tuple[str, str, dict[str, Any] | None]:
        """Method, path and body of one operation; effects are recorded under the same key."""
        body = None if self.json is None else {name: key if v == "{key}" else v for name, v in self.json.items()}
        return self.method, self.path.replace("{key}", key), body


@dataclass(frozen=True, slots=True)
class Mistake:
    """One mistake of the documents, with everything a harness needs to show it and to show its mend.

    `detector` is the anomaly that the wrong application shows under `fault` and the mended one does not. `worker` is
    false where no Celery worker takes part; `read` is what a client asks afterwards, if there is something to ask.
    `env` holds short times for a test, to be merged with the URLs and files of a run.
    """

    name: str
    seeds: tuple[str, ...]
    sentence: str
    request: Request
    detector: str
    fault: str
    env: Mapping[str, str] = field(default_factory=dict)
    worker: bool = True
    read: Request | None = None

    @property
    def wrong(self) -> str:
        """Module of the application that makes the mistake."""
        return f"examples.seeds.{self.name}.wrong"

    @property
    def mended(self) -> str:
        """Module of the application that does not."""
        return f"examples.seeds.{self.name}.mended"


PROCESS = Request("POST", "/process", {"key": "{key}"})
STATUS = Request("GET", "/task-status/{key}")  # here the key is the task id that the submission returned
ALL = ("S0", "S2", "S3")  # every document that has a Celery task

MISTAKES: tuple[Mistake, ...] = (
    Mistake(
        "blocking_loop",
        ("S0", "S2", "S4"),
        "A broker call on the event loop holds every request while the broker is slow.",
        PROCESS,
        detector="stalled",
        fault="latency of 300 ms on api->broker",
        env={"WORK_SECONDS": "0.1"},
    ),
    Mistake(
        "background_error",
        ("S2", "S4"),
        "A background function that raises leaves nothing behind but a line in the log.",
        Request("POST", "/send-notification/{key}"),
        detector="lost",
        fault="the service at SERVICE_URL refuses the first call",
        env={"WORK_SECONDS": "0.1"},
        worker=False,
    ),
    Mistake(
        "no_retry",
        ("S2",),
        "A task whose service failed once is never run again.",
        PROCESS,
        detector="lost",
        fault="the service at SERVICE_URL refuses or cuts the first call",
        env={"WORK_SECONDS": "0.1"},
    ),
    Mistake(
        "overusing_background",
        ("S2", "S4"),
        "Work that must survive a restart dies with the API process.",
        PROCESS,
        detector="lost",
        fault="SIGKILL of the API after the answer and before the effect",
        env={"WORK_SECONDS": "0.5"},
    ),
    Mistake(
        "not_monitoring",
        ("S2",),
        "The queue grows without bound while the health check says ok.",
        PROCESS,
        detector="backlog",
        fault="SIGSTOP of the worker while more than BACKLOG_LIMIT operations arrive",
        env={"WORK_SECONDS": "0.1", "BACKLOG_LIMIT": "5"},
        read=Request("GET", "/health-check"),
    ),
    Mistake(
        "ignoring_results",
        ("S2",),
        "A task that is done stays PENDING for whoever asks.",
        Request("POST", "/process-data", {"key": "{key}"}),
        detector="stuck",
        fault="none",
        env={"WORK_SECONDS": "0.1"},
        read=STATUS,
    ),
    Mistake(
        "cpu_on_loop",
        ("S0", "S4"),
        "A computation on the event loop holds every request until it is done.",
        PROCESS,
        detector="stalled",
        fault="none",
        env={"WORK_SECONDS": "0.3"},
    ),
    Mistake(
        "acks_early",
        ALL,
        "A task is acknowledged before it runs and dies with its worker.",
        PROCESS,
        detector="lost",
        fault="SIGKILL of the worker in the middle of a task; it is started again",
        env={"WORK_SECONDS": "0.5", "VISIBILITY_SECONDS": "2"},
    ),
    Mistake(
        "short_visibility",
        ALL,
        "A task for later is handed out again and again before its time has come, and runs as often.",
        PROCESS,
        detector="duplicate",
        fault="none; the delay exceeds the visibility timeout",
        env={"WORK_SECONDS": "0.1", "DELAY_SECONDS": "3", "VISIBILITY_SECONDS": "1"},
    ),
    Mistake(
        "failure_result",
        ("S2",),
        "The status of a failed task is an exception that JSON cannot hold: 500 instead of the reason.",
        Request("POST", "/divide", {"key": "{key}", "x": 1, "y": 0}),
        detector="unhandled",
        fault="none; the task divides by zero",
        env={"WORK_SECONDS": "0.1"},
        read=STATUS,
    ),
    Mistake(
        "one_database",
        ALL,
        "Whoever clears the results clears the queue.",
        PROCESS,
        detector="lost",
        fault="FLUSHDB of the database that `celery.conf.result_backend` names, while tasks wait",
        env={"WORK_SECONDS": "0.1"},
    ),
)
