"""Routes that show an owner's dead letters and run them again."""

from typing import Annotated, Any

from fastapi import APIRouter, HTTPException, Query

from system.access import Owner, Submitter
from system.job import Backlog
from system.routers.jobs import BUSY, TOO_OFTEN, busy
from system.schemas import Accepted, DeadLetter, DeadLetterPage, Problem
from system.services import Shared

router = APIRouter(tags=["dead letters"])
DOWN: dict[int | str, dict[str, Any]] = {503: {"model": Problem, "description": "The job store can't be used"}}
NONE: dict[int | str, dict[str, Any]] = {404: {"model": Problem, "description": "No dead letter has this id"}}


@router.get("/dead-letters", responses=DOWN)
async def dead_letters(
    services: Shared,
    owner: Owner,
    limit: Annotated[int, Query(ge=1, le=100)] = 50,
    after: Annotated[int, Query(ge=0, lt=2**31)] = 0,
) -> DeadLetterPage:
    """Show the jobs that used up their attempts, a page at a time."""
    found = await services.stored(lambda: services.store.dead_letters.page(owner, limit + 1, after))
    page = found[:limit]
    return DeadLetterPage(
        dead_letters=[DeadLetter.model_validate(letter) for letter in page],
        next=page[-1].id if len(found) > limit else None,
    )


@router.post("/dead-letters/{task_id}/redrive", status_code=202, responses={**NONE, **TOO_OFTEN, **BUSY})
async def redrive(task_id: str, services: Shared, owner: Submitter) -> Accepted:
    """Run a dead job again, with all its attempts and the same id, so that its effect stays one."""
    try:
        known = await services.stored(lambda: services.store.dead_letters.redrive(owner, task_id))
    except Backlog as error:
        raise busy(services, error) from None
    if not known:
        raise HTTPException(404, "no dead letter has this id")
    return Accepted(message="Task queued", task_id=task_id)
