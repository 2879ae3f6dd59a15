from fastapi import FastAPI, HTTPException
from pydantic import BaseModel

from orders.store import Base, Order, Session, engine
from orders.worker import pack

Base.metadata.create_all(engine)
app = FastAPI()


class NewOrder(BaseModel):
    item: str


@app.post("/orders", status_code=201)
def create(new: NewOrder) -> dict[str, int]:
    with Session.begin() as session:
        order = Order(item=new.item)
        session.add(order)
        session.flush()
        number = order.number
    pack.delay(number)
    return {"id": number}


@app.get("/orders/{number}")
def read(number: int) -> dict[str, str]:
    with Session() as session:
        order = session.get(Order, number)
    if order is None:
        raise HTTPException(404)
    return {"item": order.item, "state": order.state}
