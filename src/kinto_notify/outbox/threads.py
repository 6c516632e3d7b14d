"""Whether the server that Kinto runs in lets a thread of ours run.

In: nothing but the process. Out: a yes or no. Never fails.
"""

import importlib


def threads_run() -> bool:
    """Tell whether threads run between requests; uWSGI before 2.0.27 has them off unless its ini says otherwise."""
    try:
        # Its module is there inside uWSGI only.
        uwsgi = importlib.import_module("uwsgi")
    except ImportError:
        return True
    return bool(getattr(uwsgi, "has_threads", True))
