"""Routes that use FastAPI's background tasks, which run after the response in the API's process, at most once."""

import logging
import time
from collections.abc import Callable, Sequence
from typing import Annotated

from fastapi import APIRouter, BackgroundTasks, Depends, Path

from system.schemas import Message
from system.services import Shared
from system.work import NOTIFY_SECONDS

log = logging.getLogger(__name__)
router = APIRouter(tags=["background"])
Email = Annotated[str, Path(pattern=r"^[^@\s]{1,64}@[^@\s]{1,189}$")]


def housekeeping() -> None:
    """The background task of the route `/execute-task/`."""
    log.info("the background task ran")


async def functions() -> Sequence[Callable[[], object]]:
    """Return the background tasks of `/execute-task/`; this is a FastAPI dependency, so that tests can replace the
    tasks."""
    return (housekeeping,)


@router.post("/send-notification/{email}")
async def send_notification(email: Email, tasks: BackgroundTasks, services: Shared) -> Message:
    """Write a notification after the response was sent."""

    def write_notification() -> None:
        time.sleep(NOTIFY_SECONDS * services.settings.pace)
        services.store.note(email, "notification")

    services.background.add(tasks, write_notification)
    return Message(message="Notification scheduled to be sent in the background")


@router.post("/execute-task/")
async def execute_task(
    tasks: BackgroundTasks,
    services: Shared,
    work: Annotated[Sequence[Callable[[], object]], Depends(functions)],
) -> Message:
    """Run functions after the response; a function that fails is logged and counted, and the other functions run."""
    for function in work:
        services.background.add(tasks, function)
    return Message(message="Task is running in the background.")
