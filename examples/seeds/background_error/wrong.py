import time

from fastapi import BackgroundTasks, FastAPI

from examples.seeds.environment import call_service, effect, work_seconds

app = FastAPI()


def write_notification(email: str) -> None:
    time.sleep(work_seconds(2))
    call_service(email)
    effect("write_notification", email)


@app.get("/")
async def root() -> dict[str, str]:
    return {"message": "Hello World"}


@app.post("/send-notification/{email}")
async def send_notification(email: str, background_tasks: BackgroundTasks) -> dict[str, str]:
    background_tasks.add_task(write_notification, email)
    return {"message": "Notification scheduled to be sent in the background"}
