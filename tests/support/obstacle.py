"""A listener that gets in the way, named after ours in `event_listeners`, for Kinto and Cliquet of any age.

A write whose id or name begins with `veto` is refused with 403 when ours has seen it, inside the transaction; with
`fault` it fails like a bug; with `hang` it never returns.
"""

import time

from pyramid.httpexceptions import HTTPForbidden


def load_from_config(config, prefix=""):  # type: ignore[no-untyped-def]
    return obstruct


def obstruct(event):  # type: ignore[no-untyped-def]
    # Kinto says `impacted_objects`, Cliquet `impacted_records`.
    impacted = getattr(event, "impacted_objects", None) or getattr(event, "impacted_records", None) or ()
    states = [item.get("new") or {} for item in impacted]
    words = [str(state.get(key, "")) for state in states for key in ("id", "name")]
    if any(word.startswith("hang") for word in words):
        time.sleep(3600)
    if any(word.startswith("veto") for word in words):
        raise HTTPForbidden()
    if any(word.startswith("fault") for word in words):
        raise RuntimeError("a fault in another listener")
