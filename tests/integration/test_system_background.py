"""FastAPI's background tasks and the life of their process: at most once, as the README's table says."""

import sqlite3
from contextlib import closing
from signal import SIGKILL, SIGTERM

from tests.integration.running import SLACK, NewSystem


def test_sigterm_lets_a_notification_end_and_sigkill_drops_it(new_system: NewSystem) -> None:
    """The store is locked meanwhile, so that the notification can't be written before the signal has come."""
    system = new_system("signalled", pace=0.01)
    for sig, effects in ((SIGKILL, {}), (SIGTERM, {"someone@example.org": 1})):
        system.api().ready()
        assert system.http.get("/stats").json()["background"]["scheduled"] == 0, "a new process knows nothing of it"
        with closing(sqlite3.connect(system.settings.database, isolation_level=None)) as lock:
            lock.execute("BEGIN IMMEDIATE")
            assert system.http.post("/send-notification/someone@example.org").status_code == 200
            system.process("api").signal(sig)
            if sig == SIGTERM:
                system.logged("api", "Waiting for background tasks to complete.")
        system.process("api").wait(SLACK)
        assert system.effects() == effects
    assert system.said("api", "Application shutdown complete") == 1, "that of the one that could"
