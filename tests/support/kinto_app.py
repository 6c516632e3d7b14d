"""A real Kinto in this process, spoken to with webtest."""

import warnings
from collections.abc import Callable
from pathlib import Path

import kinto
import webtest
from kinto.core.authorization import RouteFactory
from pyramid.config import Configurator

MEMORY = {
    "settings_prefix": "kinto",
    "storage_backend": "kinto.core.storage.memory",
    "cache_backend": "kinto.core.cache.memory",
    "permission_backend": "kinto.core.permission.memory",
    "userid_hmac_secret": "tests",
    "multiauth.policies": "basicauth",
    "bucket_create_principals": "system.Authenticated",
}
RECORDS = "/v1/buckets/b/collections/c/records"


def listening(redis_url: str, spool: Path | str, **more: str) -> dict[str, str]:
    """The settings that switch the listener on."""
    own = {"use": "kinto_notify.listener", "url": redis_url, "spool": str(spool), **more}
    return {"event_listeners": "notify", **{f"event_listeners.notify.{key}": own[key] for key in own}}


def kinto_app(settings: dict[str, str], configure: Callable[[Configurator], None] | None = None) -> webtest.TestApp:
    """Make the application; `configure` may add to it (subscribers) afterwards."""
    full = {**MEMORY, **settings}
    config = Configurator(settings=full, root_factory=RouteFactory)
    with warnings.catch_warnings():
        # Kinto warns of a server without TLS.
        warnings.simplefilter("ignore")
        app = webtest.TestApp(kinto.main({}, config=config, **full))
    if configure is not None:
        configure(config)
        config.commit()
    app.authorization = ("Basic", ("mat", "secret"))
    return app


def close(app: webtest.TestApp) -> None:
    """End the relay threads of an application."""
    for listener in getattr(app.app.registry, "kinto_notify", []):
        listener.close()
