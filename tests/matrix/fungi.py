"""A small Cliquet application for its own old stack: one resource, `mushroom`, whose ids are UUIDs."""

import cliquet
import colander
from cliquet import resource
from pyramid.config import Configurator


class MushroomSchema(resource.ResourceSchema):
    name = colander.SchemaNode(colander.String())


@resource.register()
class Mushroom(resource.UserResource):
    mapping = MushroomSchema()


def main(global_config, **settings):
    """Make the application: `paste.app_factory = fungi:main`."""
    config = Configurator(settings=settings)
    cliquet.initialize(config, version="0.0.1")
    config.scan(__name__)
    return config.make_wsgi_app()
