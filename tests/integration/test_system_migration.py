"""A migration under load: the next release brings the tables up to date while the API accepts and workers work."""

import shutil
import threading
from collections import Counter
from pathlib import Path

import httpx
from alembic import command
from alembic.config import Config
from sqlalchemy import Connection

from brownout.subject.waiting import eventually
from system import migrations
from system.database import Database
from system.migrations import REVISION
from system.settings import Settings
from tests.integration.running import SLACK, NewSystem, Running

CLIENTS, BEFORE, AFTER = 4, 8, 8  # jobs that are accepted before the migration begins, and after it has ended
NEXT = f'''
import sqlalchemy as sa
from alembic import op
revision, down_revision = "9999", "{REVISION}"

def upgrade():
    op.add_column("jobs", sa.Column("later", sa.Integer))
    op.add_column("outbox", sa.Column("later", sa.Integer, nullable=False, server_default="0"))
    op.create_index("jobs_by_later", "jobs", ["later"])
    op.create_table("later", sa.Column("id", sa.Integer, primary_key=True))
'''


def next_release(folder: Path) -> Config:
    """The migrations of a release that adds a column to each busy table, an index and a table."""
    scripts = folder / "migrations"
    shutil.copytree(Path(migrations.__file__).parent, scripts)
    (scripts / "versions" / "v9999.py").write_text(NEXT)
    config = Config()
    config.set_main_option("script_location", str(scripts).replace("%", "%%"))
    return config


def upgrade(config: Config, settings: Settings) -> None:
    """What `alembic upgrade head` does, in one transaction."""

    def run(connection: Connection) -> None:
        config.attributes["connection"] = connection
        command.upgrade(config, "head")

    database = Database(settings.store_url)
    database.change(run)
    database.close()


class Clients:
    """Clients that submit jobs until they are stopped. `statuses` counts the answers, `jobs` are those accepted."""

    def __init__(self, system: Running) -> None:
        self.statuses, self.jobs = Counter[int](), list[str]()
        self._system, self._stop = system, threading.Event()
        self._threads = [threading.Thread(target=self._run) for _ in range(CLIENTS)]

    def _run(self) -> None:
        with httpx.Client(base_url=self._system.http.base_url, timeout=SLACK, trust_env=False) as http:
            while not self._stop.is_set():
                answer = http.post("/compute", json={"n": 2})
                self.statuses[answer.status_code] += 1
                if answer.status_code == 202:
                    self.jobs.append(answer.json()["task_id"])

    def accepted(self, more: int) -> None:
        """Wait until so many more jobs have been accepted."""
        enough = len(self.jobs) + more
        eventually(lambda: len(self.jobs) >= enough, within=SLACK, what=f"{more} more jobs are accepted")

    def __enter__(self) -> "Clients":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()


def test_a_migration_under_load_loses_nothing(new_system: NewSystem) -> None:
    system = new_system("migrated", pace=0, backlog_limit=100_000).api().relay().worker("worker-1", "-c", "2").ready()
    with Clients(system) as clients:
        clients.accepted(BEFORE)
        upgrade(next_release(system.folder), system.settings)
        clients.accepted(AFTER)
    assert set(clients.statuses) <= {202, 503}, "the answers that the API documents"
    assert system.rows("select version_num from alembic_version") == [("9999",)]
    left = "select count(*) from outbox"
    eventually(lambda: system.rows(left) == [(0,)], within=4 * SLACK, every=0.1, what="all jobs have ended")
    assert system.effects() == dict.fromkeys(clients.jobs, 1)
