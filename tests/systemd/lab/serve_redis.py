"""The lab's Redis: whichever server the tests find, with an append-only file and a password."""

import os

from kinto_notify.demo.servers import find_redis_server

server = find_redis_server()
options = "--port 6379 --bind 127.0.0.1 --dir /var/lib/redis --appendonly yes --maxmemory-policy noeviction"
os.execv(server, [server, *options.split(), "--save", "", "--requirepass", "redis-s3cret"])
