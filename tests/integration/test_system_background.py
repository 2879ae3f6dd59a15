"""FastAPI's background tasks and the life of their process: at most once, as the table of docs/system.md says."""

from signal import SIGKILL, SIGTERM

from brownout.subject.waiting import eventually
from system.engines import WAIT_SECONDS
from tests.integration.running import SLACK, NewSystem


def test_sigterm_lets_a_notification_end_and_sigkill_drops_it(new_system: NewSystem) -> None:
    """The store is locked meanwhile, so that the notification can't be written before the signal has come."""
    system = new_system("signalled", pace=0.01)
    for sig, effects in ((SIGKILL, {}), (SIGTERM, {"someone@example.org": 1})):
        system.api().ready()
        assert system.http.get("/stats").json()["background"]["scheduled"] == 0, "a new process knows nothing of it"
        with system.store_locked():
            assert system.http.post("/send-notification/someone@example.org").status_code == 200
            system.process("api").signal(sig)
            if sig == SIGTERM:
                system.logged("api", "Waiting for background tasks to complete.")
        system.process("api").wait(SLACK)
        assert system.effects() == effects
    assert system.said("api", "Application shutdown complete") == 1, "that of the one that could"


def test_a_background_task_that_fails_is_counted(new_system: NewSystem) -> None:
    """The store is locked for longer than it is waited for."""
    system = new_system("failing", pace=0.01).api().ready()

    def counted() -> dict[str, int]:
        return dict(system.http.get("/stats").json()["background"])

    with system.store_locked():
        assert system.http.post("/send-notification/someone@example.org").status_code == 200
        bound = 2 * WAIT_SECONDS + SLACK
        eventually(lambda: counted()["failed"] == 1, within=bound, every=0.1, what="the failure is counted")
    assert system.http.post("/execute-task/").status_code == 200
    eventually(lambda: counted()["done"] == 1, within=SLACK, what="the next one is done")
