from fastapi import FastAPI
from pydantic import BaseModel

from mailer.worker import app as celery
from mailer.worker import counts, send

app = FastAPI()


class Mail(BaseModel):
    to: str
    subject: str


@app.post("/mails", status_code=202)
def create(mail: Mail) -> dict[str, str]:
    return {"id": send.delay(mail.to, mail.subject).id}


@app.get("/mails/{mail_id}")
def read(mail_id: str) -> dict[str, str]:
    return {"id": mail_id, "state": celery.AsyncResult(mail_id).state}


@app.get("/counts/{to}")
def count(to: str) -> dict[str, int]:
    return {"mails": int(counts.get(f"mails:{to}") or 0)}
