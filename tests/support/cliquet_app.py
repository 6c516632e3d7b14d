"""A small real Cliquet 3.1.5 application in this process: one resource, `mushroom`."""

import warnings
from typing import Any

import webtest
from pyramid.authentication import BasicAuthAuthenticationPolicy, extract_http_basic_credentials
from pyramid.config import Configurator
from pyramid.registry import Registry

with warnings.catch_warnings():
    # Cliquet is of 2016.
    warnings.simplefilter("ignore")
    # Pyramid took away the private method that Cliquet's policy calls.
    BasicAuthAuthenticationPolicy._get_credentials = lambda _self, request: extract_http_basic_credentials(request)
    import cliquet
    import colander
    from cliquet import resource


class MushroomSchema(resource.ResourceSchema):  # type: ignore[misc]
    name = colander.SchemaNode(colander.String())


@resource.register()  # type: ignore[untyped-decorator]
class Mushroom(resource.UserResource):  # type: ignore[misc]
    mapping = MushroomSchema()


def cliquet_app(settings: dict[str, str]) -> webtest.TestApp:
    """Make the application; settings are un-prefixed, as Cliquet holds them."""
    full: dict[str, Any] = {
        "project_name": "fungi",
        "storage_backend": "cliquet.storage.memory",
        "cache_backend": "cliquet.cache.memory",
        "permission_backend": "cliquet.permission.memory",
        "userid_hmac_secret": "tests",
        **settings,
    }
    if isinstance(getattr(Registry, "statsd", None), property):
        # A Kinto in this process has put a read-only property there; Cliquet wants to set it.
        del Registry.statsd
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        config = Configurator(settings=full)
        cliquet.initialize(config, version="0.0.1")
        config.scan(__name__)
        app = webtest.TestApp(config.make_wsgi_app())
    app.authorization = ("Basic", ("mat", "secret"))
    return app
