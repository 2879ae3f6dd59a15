import time

from fastapi import BackgroundTasks, FastAPI

from examples.seeds.environment import effect, work_seconds

app = FastAPI()


def write_notification(email: str, message: str = "") -> None:
    print(f"to {email}: ...")
    time.sleep(work_seconds(2))
    effect("write_notification", email)
    print(f"to {email}: {message}")


@app.post("/send-notification/{email}")
async def send_notification(email: str, background_tasks: BackgroundTasks) -> dict[str, str]:
    background_tasks.add_task(write_notification, email, message="Some notification")
    return {"message": "Notification scheduled to be sent in the background"}
