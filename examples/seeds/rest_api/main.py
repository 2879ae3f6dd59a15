from typing import Any

from fastapi import FastAPI

from examples.seeds.rest_api.tasks import process_data

app = FastAPI()


@app.post("/process-data")
async def process_data_endpoint(data: dict[str, Any]) -> dict[str, str]:
    task = process_data.delay(data)
    return {"task_id": task.id, "message": "Data processing task submitted"}


# The post has no return annotation, so FastAPI gets no response model here either: see `failure_result`.
@app.get("/task-status/{task_id}", response_model=None)
async def get_task_status(task_id: str) -> dict[str, Any]:
    task_result = process_data.AsyncResult(task_id)
    return {"task_id": task_id, "task_status": task_result.status, "task_result": task_result.result}
