"""The OpenAPI document: every operation lists its answers, and says what each of them looks like."""

from typing import Any

import pytest

from system.factory import create_app
from system.settings import Settings

JSON, STREAM = "application/json", "text/event-stream"
UNREADABLE = {"400", "403", "413", "422"}
SUBMISSION = {"202", "409", "429", "503"} | UNREADABLE
STATUSES = {
    "GET /": {"200"} | UNREADABLE,
    "GET /example": {"200"} | UNREADABLE,
    "GET /health-check": {"200"} | UNREADABLE,
    "GET /health-check/ready": {"200", "503"} | UNREADABLE,
    "GET /stats": {"200", "503"} | UNREADABLE,
    "GET /task-status/{task_id}": {"200", "404", "503"} | UNREADABLE,
    "GET /task-status/{task_id}/stream": {"200", "204", "404", "503"} | UNREADABLE,
    "POST /compute": SUBMISSION,
    "POST /deliver": SUBMISSION,
    "GET /dead-letters": {"200", "503"} | UNREADABLE,
    "POST /dead-letters/{task_id}/redrive": {"202", "404", "429", "503"} | UNREADABLE,
    "POST /divide": SUBMISSION,
    "POST /execute-task/": {"200"} | UNREADABLE,
    "POST /process": SUBMISSION,
    "POST /process-data": SUBMISSION,
    "POST /send-notification/{email}": {"200"} | UNREADABLE,
    "POST /start-task": SUBMISSION,
}


@pytest.fixture
def operations(config: Settings) -> dict[str, dict[str, Any]]:
    """Each operation of the document by its method and path."""
    paths = create_app(config).openapi()["paths"]
    return {f"{method.upper()} {path}": body for path, item in paths.items() for method, body in item.items()}


def test_the_operations_and_their_answers_are_these(operations: dict[str, dict[str, Any]]) -> None:
    assert {name: set(operation["responses"]) for name, operation in operations.items()} == STATUSES


def test_every_answer_is_described_and_has_a_schema(operations: dict[str, dict[str, Any]]) -> None:
    for name, operation in operations.items():
        assert operation["description"], name
        for status, answer in operation["responses"].items():
            assert answer["description"], (name, status)
            kind = STREAM if name.endswith("/stream") and status == "200" else JSON
            if status == "204":
                assert "content" not in answer
            else:
                assert list(answer["content"]) == [kind], (name, status)
                assert answer["content"][kind]["schema"], (name, status)


def test_where_to_come_back_is_said_when(operations: dict[str, dict[str, Any]]) -> None:
    for name, operation in operations.items():
        if "409" in operation["responses"]:
            assert "Retry-After" in operation["responses"]["503"]["headers"], name
            assert [parameter["name"] for parameter in operation["parameters"]] == ["idempotency-key"], name
