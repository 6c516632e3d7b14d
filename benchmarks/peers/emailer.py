"""kinto-emailer's way, outside of a request: its own look-up of hooks and its own mails, sent by pyramid_mailer.

Its storage is Kinto's, in memory, with one collection whose hook wants a mail for each record.
"""

import json
from typing import Any

import redis
from kinto.core.storage.memory import Storage
from kinto_emailer import get_messages
from letter import PORT, QUEUE, RECIPIENT, REDIS, SENDER
from pyramid_mailer.mailer import Mailer

HOOK = {
    "resource_name": "record",
    "subject": "{resource_name} {action}d",
    "template": "User id: {user_id}\n{uri}: {impacted_objects}",
    "recipients": [RECIPIENT],
}


def main() -> None:
    client: Any = redis.Redis.from_url(REDIS, socket_timeout=None)
    storage = Storage(readonly=False)
    collection = {"id": "articles-0", "kinto-emailer": {"hooks": [HOOK]}}
    storage.create(resource_name="collection", parent_id="/buckets/blog", obj=collection)
    mailer = Mailer(host="127.0.0.1", port=PORT, default_sender=SENDER)
    print("ready")
    while True:
        _, text = client.brpop([QUEUE])
        data = json.loads(text)["data"]
        context = {**data, "impacted_objects": data["changes"], "id": data["record_id"]}
        for message in get_messages(storage, context):
            mailer.send_immediately(message, fail_silently=False)


if __name__ == "__main__":
    main()
