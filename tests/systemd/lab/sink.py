"""The lab's smarthost: it wants a login, and keeps the reply to the dot back while /run/lab/hold is there."""

import asyncio
import json
from pathlib import Path

from support.smtp_script import Act, Connection, Mail
from support.smtp_server import SmtpServer

LAB = Path("/run/lab")


class Sink(SmtpServer):
    """Writes down each mail that it takes."""

    async def _step(self, connection: Connection, phase: str, normal: str | Act, mail: Mail | None = None) -> Act:
        while phase == "dot" and (LAB / "hold").exists():
            (LAB / "held").touch()
            await asyncio.sleep(0.05)
        act = await super()._step(connection, phase, normal, mail)
        if mail is not None:
            line = {"recipient": mail.recipient, "user": mail.user, "text": mail.data.decode("utf-8", "replace")}
            with (LAB / "mails").open("a") as file:
                file.write(json.dumps(line) + "\n")
        return act


async def serve() -> None:
    sink = Sink(users={"kinto": "smtp-s3cret"})
    sink.port = 8025
    async with sink:
        await asyncio.Event().wait()


asyncio.run(serve())
