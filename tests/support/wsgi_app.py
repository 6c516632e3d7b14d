"""Kinto as WSGI servers load it: `support.wsgi_app:application`, from the ini that `KINTO_INI` names."""

import os
import warnings

with warnings.catch_warnings():
    # Not ours: this process has no pytest to say which of Kinto's and Pyramid's warnings are known.
    warnings.simplefilter("ignore")
    from pyramid.paster import get_app, setup_logging

    setup_logging(os.environ["KINTO_INI"])
    application = get_app(os.environ["KINTO_INI"])
