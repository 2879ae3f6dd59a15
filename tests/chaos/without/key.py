"""The effect is recorded without its key, and without a look at the job's state: each run has an effect."""

from typing import Any

from sqlalchemy import insert

from system import rows, store
from system.job import Start, State, now
from system.tables import effects
from system.worker import app as app


def finish(self: store.Store, job_id: str, task: str, result: Any) -> bool:
    with self._database.write() as connection:
        connection.execute(insert(effects).values(key=job_id, name=task, at=now()))
        rows.end(connection, job_id, State.SUCCESS, result=result)
    return True


def start(self: store.Store, job_id: str, attempt: int) -> Start:
    return Start(run=True, job=None)


store.Store.finish = finish  # type: ignore[method-assign]
store.Store.start = start  # type: ignore[method-assign]
