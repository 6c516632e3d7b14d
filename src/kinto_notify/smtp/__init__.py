"""The way to the smarthost: a bounded pool of SMTP sessions, `Pool.send(envelope) -> Outcome`."""
