"""The mail that every peer sends of an event: the tutorial's, with what changed; and where its servers are."""

import json
import os
from email.message import EmailMessage
from typing import Any

REDIS = os.environ.get("BENCH_REDIS", "redis://localhost:6379/0")
PORT = int(os.environ.get("BENCH_SMTP_PORT", "25"))
QUEUE = os.environ.get("BENCH_QUEUE", "queue")
SENDER, RECIPIENT = "kinto@example.org", "anna@example.org"


def letter(text: str | bytes) -> EmailMessage:
    """Make a mail of an event's JSON, as anybody would."""
    data: dict[str, Any] = json.loads(text)["data"]
    message = EmailMessage()
    message["From"] = SENDER
    message["To"] = RECIPIENT
    message["Subject"] = f"{data['resource_name']} {data['action']}d"
    changes = "\n".join(f"{change['uri']}: {change.get('old')} -> {change.get('new')}" for change in data["changes"])
    message.set_content(f"User id: {data['user_id']}\n{changes}\n")
    return message
