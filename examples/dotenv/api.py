from fastapi import FastAPI
from pydantic import BaseModel
from tasks import app as queue
from tasks import thumbnail

api = FastAPI()


class Image(BaseModel):
    path: str


@api.post("/thumbnails", status_code=202)
def create(image: Image) -> dict[str, dict[str, str]]:
    task = thumbnail.apply_async(args=[image.path])
    return {"data": {"uuid": task.id}}


@api.get("/thumbnails/{uuid}/status")
def status(uuid: str) -> dict[str, str]:
    return {"status": queue.AsyncResult(uuid).status.lower()}
