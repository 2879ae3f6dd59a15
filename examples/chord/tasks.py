import time

from celery import Celery

app = Celery("sums", broker="redis://localhost:6379/0", backend="redis://localhost:6379/0")


@app.task
def square(number: int) -> int:
    time.sleep(0.3)
    return number * number


@app.task
def total(numbers: list[int]) -> int:
    return sum(numbers)
