"""Ten digests the quick way: `RPOP 500`, count and list by collection, and mail it when the list is empty.

It validates nothing, and loses what it holds when it dies.
"""

import json
import smtplib
from collections import Counter, defaultdict
from email.message import EmailMessage
from typing import Any

import redis
from letter import PORT, QUEUE, RECIPIENT, REDIS, SENDER

BATCH, LISTED = 500, 100


class Digest:
    """What has happened in a collection: totals, and the first of it in detail."""

    def __init__(self) -> None:
        self.totals: Counter[str] = Counter()
        self.lines: list[str] = []

    def add(self, data: dict[str, Any]) -> None:
        self.totals[f"{data['resource_name']} {data['action']}d"] += 1
        if len(self.lines) < LISTED:
            change = data["changes"][0]
            self.lines.append(f"{change['uri']} by {data['user_id']}: {change.get('old')} -> {change.get('new')}")

    def letter(self, collection: str) -> EmailMessage:
        message = EmailMessage()
        message["From"], message["To"] = SENDER, RECIPIENT
        message["Subject"] = f"[{collection}] {sum(self.totals.values())} changes"
        totals = [f"{number} times {what}" for what, number in self.totals.items()]
        message.set_content("\n".join([*totals, "", *self.lines, "", "and more"]))
        return message


def main() -> None:
    client: Any = redis.Redis.from_url(REDIS, socket_timeout=None)
    print("ready")
    while True:
        _, first = client.brpop([QUEUE])
        digests: defaultdict[str, Digest] = defaultdict(Digest)
        texts = [first]
        while texts:
            for text in texts:
                data = json.loads(text)["data"]
                digests[data["collection_id"]].add(data)
            texts = client.rpop(QUEUE, BATCH)
        with smtplib.SMTP("127.0.0.1", PORT, local_hostname="localhost") as server:
            for collection, digest in digests.items():
                server.send_message(digest.letter(collection))


if __name__ == "__main__":
    main()
