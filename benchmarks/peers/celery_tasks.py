"""Celery: a task for each event, which sends its mail with smtplib.

celery -A celery_tasks worker --pool prefork --concurrency 2
python celery_tasks.py give FILE
"""

import smtplib
import sys
from pathlib import Path

from celery import Celery, signals
from letter import PORT, REDIS, letter

app = Celery("celery_tasks", broker=REDIS, set_as_current=True)
app.conf.update(task_ignore_result=True, broker_connection_retry_on_startup=True)


def send(text: str) -> None:
    with smtplib.SMTP("127.0.0.1", PORT, local_hostname="localhost") as server:
        server.send_message(letter(text))


def say_ready(**_: object) -> None:
    print("ready", flush=True)


task = app.task(send, name="send")
signals.worker_ready.connect(say_ready)

if __name__ == "__main__":
    for line in Path(sys.argv[2]).read_text().splitlines():
        task.delay(line)
