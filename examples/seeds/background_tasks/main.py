import time

from fastapi import BackgroundTasks, FastAPI

from examples.seeds.environment import effect, work_seconds

app = FastAPI()


def task_to_run_in_background() -> None:
    time.sleep(work_seconds(2))
    effect("task_to_run_in_background", None)


@app.post("/execute-task/")
async def execute_background_task(background_tasks: BackgroundTasks) -> dict[str, str]:
    background_tasks.add_task(task_to_run_in_background)
    return {"message": "Task is running in the background."}
