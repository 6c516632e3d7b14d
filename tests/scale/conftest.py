"""What is too slow for `make test`: `make test-scale`. The fixtures are those of the daemon's room."""

from daemon.conftest import machine, redis_server, smtp

__all__ = ["machine", "redis_server", "smtp"]
