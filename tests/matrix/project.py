"""What is tested in one environment of the matrix: a Kinto or a Cliquet, started from its own environment.

In: the directory of a virtual environment. Out: a server to write to, and where its objects are.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from kinto_notify.demo.servers import KintoServer

_TESTS = Path(__file__).parents[1]
_LISTENERS = """\
{project}.event_listeners = notify obstacle
{project}.event_listeners.notify.use = kinto_notify.listener
{project}.event_listeners.notify.url = {redis_url}
{project}.event_listeners.notify.spool = {spool}
{project}.event_listeners.obstacle.use = support.obstacle
{project}.storage_backend = {core}.storage.memory
{project}.cache_backend = {core}.cache.memory
{project}.permission_backend = {core}.permission.memory
{project}.userid_hmac_secret = matrix
multiauth.policies = basicauth
"""
_SERVER = """\
[server:main]
use = egg:waitress#main
host = 127.0.0.1
port = {port}
[app:main]
"""


@dataclass(frozen=True, slots=True)
class Flavour:
    """Where a project has its objects, and what its events say of them."""

    prepare: tuple[str, ...]
    objects: str
    resource: str
    event: str


KINTO = Flavour(
    ("/buckets/b", "/buckets/b/collections/c"),
    "/buckets/b/collections/c/records",
    "record",
    "kinto.core.events.ResourceChanged",
)
CLIQUET = Flavour((), "/mushrooms", "mushroom", "cliquet.events.ResourceChanged")


class Project(KintoServer):
    """The project of one environment, as its own program starts it."""

    def __init__(self, directory: Path, redis_url: str, environment: Path, more: str = "") -> None:
        super().__init__(directory, redis_url)
        self.bin = environment / "bin"
        self.cliquet = environment.name.startswith("cliquet")
        self.flavour = CLIQUET if self.cliquet else KINTO
        named = (
            {"project": "cliquet", "core": "cliquet"} if self.cliquet else {"project": "kinto", "core": "kinto.core"}
        )
        text = _SERVER.format(port=self.port) + _LISTENERS.format(redis_url=redis_url, spool=self.spool, **named)
        if self.cliquet:
            text += "paste.app_factory = matrix.fungi:main\ncliquet.project_name = fungi\n"
        else:
            text += "use = egg:kinto\nkinto.bucket_create_principals = system.Authenticated\n"
        self.ini.write_text(text + more)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/{'v0' if self.cliquet else 'v1'}"

    def command(self) -> Sequence[str]:
        if self.cliquet:
            return [str(self.bin / "pserve"), str(self.ini)]
        return [str(self.bin / "kinto"), "start", "--ini", str(self.ini), "--port", str(self.port)]

    def environment(self) -> Mapping[str, str]:
        return {**super().environment(), "PYTHONPATH": str(_TESTS), "PYTHONWARNINGS": "ignore"}
