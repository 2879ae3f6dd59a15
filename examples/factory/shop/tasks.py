import time

from celery import shared_task


@shared_task
def ship(order_id: int, *, express: bool = False) -> str:
    time.sleep(0.1 if express else 0.2)
    return f"order {order_id} is on its way"
