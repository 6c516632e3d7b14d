"""Every Redis key and every atomic step; nothing else in the daemon speaks Redis."""
