"""The tutorial's way, made asynchronous: a Redis list, and a script that sends a mail for each event with smtplib.

    python list_script.py [keep]

It opens a session for each mail, as the tutorial does; with `keep` one for all.
"""

import smtplib
import sys
from typing import Any

import redis
from letter import PORT, QUEUE, REDIS, letter


def connect() -> smtplib.SMTP:
    # Without a name it asks the DNS for ours, each time.
    return smtplib.SMTP("127.0.0.1", PORT, local_hostname="localhost")


def main() -> None:
    client: Any = redis.Redis.from_url(REDIS, socket_timeout=None)
    kept = connect() if "keep" in sys.argv else None
    print("ready")
    while True:
        _, text = client.brpop([QUEUE])
        message = letter(text)
        if kept is not None:
            kept.send_message(message)
            continue
        with connect() as server:
            server.send_message(message)


if __name__ == "__main__":
    main()
