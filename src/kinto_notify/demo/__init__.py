"""A whole Kinto, Redis and inbox on loopback, for `kinto-notify demo` and for the tests."""
