"""A listener that gets in the way, named after ours in `event_listeners`, for Kinto and Cliquet of any age.

A write to an object whose id begins with `veto` is refused with 403 when ours has seen it, inside the transaction; one
whose id begins with `hang` never returns.
"""

import time

from pyramid.httpexceptions import HTTPForbidden


def load_from_config(config, prefix=""):  # type: ignore[no-untyped-def]
    return obstruct


def obstruct(event):  # type: ignore[no-untyped-def]
    name = event.payload["uri"].rpartition("/")[2]
    if name.startswith("hang"):
        time.sleep(3600)
    if name.startswith("veto"):
        raise HTTPForbidden()
