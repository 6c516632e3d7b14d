"""A Kinto of its own process with `hooks = true` and the stand-in for a signer."""

import os
from collections.abc import Mapping
from pathlib import Path

from kinto_notify.demo.servers import KintoServer

_TESTS = Path(__file__).parents[1]


class SignedKinto(KintoServer):
    """`hooks.signer` is included, and its event is one of `events`."""

    def __init__(self, directory: Path, redis_url: str) -> None:
        own = "kinto.event_listeners.notify"
        super().__init__(directory, redis_url, f"{own}.hooks = true\n{own}.events = hooks.signer.ReviewRequested")
        text = self.ini.read_text()
        self.ini.write_text(text.replace("kinto.plugins.default_bucket", "kinto.plugins.default_bucket hooks.signer"))

    def environment(self) -> Mapping[str, str]:
        path = os.pathsep.join(filter(None, [str(_TESTS), os.environ.get("PYTHONPATH", "")]))
        return {**super().environment(), "PYTHONPATH": path}
