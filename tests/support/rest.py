"""Whether a namespace is at rest, what is left in it then, and how time passes for what waits there."""

import redis

from kinto_notify import wire

#: What stays at rest; all else goes with what it is about, or has an end (the known ids, the intervals). `filed` are
#: the ids of those entries that are still in `events`.
MAY_STAY = {"events", "filed", "meta", "totals"}
#: Longer than any lease.
_HOUR_MS = 3_600_000


def at_rest(client: "redis.Redis", namespace: str = wire.DEFAULT_NAMESPACE) -> bool:
    """Tell whether nothing waits any more: no entry unread or pending, no digest, no delivery.

    It asks in the order in which things go on their way: what moves on between two questions is met by a later one.
    """
    prefix, stream = f"{{{namespace}}}", wire.events_key(namespace)
    newest = client.xrevrange(stream, count=1)
    groups = [one for one in client.xinfo_groups(stream) if one["name"] == wire.GROUP.encode()]
    if not groups or groups[0]["pending"] or (newest and groups[0]["last-delivered-id"] < newest[0][0]):
        return False
    return not any(client.zcard(f"{prefix}:{name}") for name in ("due", "frozen", "deliveries"))


def keys_for_ever(client: "redis.Redis", namespace: str = wire.DEFAULT_NAMESPACE) -> set[str]:
    """Return the kinds of keys of a namespace that do not end by themselves (`delivery` for `delivery:1f3:88`)."""
    return {key.decode().split(":")[1] for key in client.keys(f"{{{namespace}}}:*") if client.pttl(key) == -1}


def later(client: "redis.Redis", namespace: str = wire.DEFAULT_NAMESPACE) -> None:
    """Let an hour pass for all that is under a lease or pending: it is due now, or may be claimed."""
    prefix, stream = f"{{{namespace}}}", wire.events_key(namespace)
    for name in ("frozen", "deliveries"):
        for member in client.zrange(f"{prefix}:{name}", 0, -1):
            client.zadd(f"{prefix}:{name}", {member: 0}, xx=True)
    for one in client.xpending_range(stream, wire.GROUP, "-", "+", 10_000):
        client.xclaim(stream, wire.GROUP, one["consumer"], 0, [one["message_id"]], idle=_HOUR_MS, justid=True)


def waiting(client: "redis.Redis", namespace: str = wire.DEFAULT_NAMESPACE) -> str:
    """Say what waits."""
    prefix = f"{{{namespace}}}"
    told = [f"{client.zcard(f'{prefix}:{name}')} {name}" for name in ("due", "frozen", "deliveries")]
    groups = client.xinfo_groups(wire.events_key(namespace))
    return ", ".join(told + [f"{group['pending']} pending, lag {group.get('lag')}" for group in groups])
