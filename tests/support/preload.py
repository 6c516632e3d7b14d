"""A prefork server in small: loads Kinto, serves a request, forks workers that serve one each, waits for them.

Run as a program with the Redis URL and the spool directory; exits with 0 if every worker's event was published by the
worker itself.
"""

import os
import sys
from pathlib import Path

import webtest

from support.kinto_app import kinto_app, listening
from support.stream import StreamReader, eventually

WORKERS = 3


def main(redis_url: str, spool: str) -> int:
    app = kinto_app(listening(redis_url, Path(spool)))
    app.put_json("/v1/buckets/parent")
    children = []
    for number in range(WORKERS):
        child = os.fork()
        if child == 0:
            status = 1
            try:
                status = work(app, f"worker{number}", redis_url, spool)
            finally:
                os._exit(status)
        children.append(child)
    app.put_json("/v1/buckets/after")
    codes = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
    return max(codes, key=abs)


def work(app: webtest.TestApp, name: str, redis_url: str, spool: str) -> int:
    app.put_json(f"/v1/buckets/{name}")
    stream = StreamReader(redis_url)
    eventually(lambda: name in {c["id"] for _, c in stream.changes()})
    # Its own file is there, beside the parent's, and nobody has adopted it.
    return 0 if list(Path(spool).glob(f"*-{os.getpid()}-*.spool")) else 2


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
