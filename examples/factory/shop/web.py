from fastapi import APIRouter, FastAPI
from pydantic import BaseModel

from shop.celery_app import celery_app
from shop.tasks import ship

router = APIRouter(prefix="/api/v1/shipments")


class Shipment(BaseModel):
    order_id: int
    express: bool = False


@router.post("", status_code=202)
def create(shipment: Shipment) -> dict[str, str]:
    return {"job_id": ship.delay(shipment.order_id, express=shipment.express).id}


@router.get("/{job_id}")
def read(job_id: str) -> dict[str, str]:
    return {"job_id": job_id, "status": celery_app.AsyncResult(job_id).status}


def create_app() -> FastAPI:
    app = FastAPI(title="Shop")
    app.include_router(router)

    @app.get("/health")
    def health() -> dict[str, str]:
        return {"status": "ok"}

    return app
