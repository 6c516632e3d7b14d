"""R03, R22: what a server says of itself, and whether we can work with it."""

import pytest

from kinto_notify.store.overview import judge

#: As INFO of such servers says it; all else left out.
GOOD = {"redis_version": "7.2.4", "maxmemory": 0, "maxmemory_policy": "noeviction", "aof_enabled": 1, "role": "master"}


def test_a_good_server_has_no_faults() -> None:
    found = judge(GOOD)
    assert (found.version, found.fatal, found.doubts) == ("Redis 7.2.4", (), ())
    # Ours is told as what it is, by its own number.
    assert judge(GOOD | {"valkey_version": "9.1.2"}).version == "Valkey 9.1.2"


@pytest.mark.parametrize("version", ["5.0.14", "6.0.16", "6.1.240", "2.8", "255", "", "unknown"])
def test_r22_an_old_server_is_refused(version: str) -> None:
    found = judge(GOOD | {"redis_version": version})
    if version == "255":
        assert found.fatal == ()
    else:
        (told,) = found.fatal
        assert told.endswith("is too old: 6.2 or later is needed (XAUTOCLAIM)")


@pytest.mark.parametrize("version", ["6.2", "6.2.14", "7.0.15", "8.0-rc1", "10.0.0"])
def test_r22_the_floor_and_what_is_above_it_are_taken(version: str) -> None:
    assert judge(GOOD | {"redis_version": version}).fatal == ()


def test_r03_a_server_that_may_lose_events_is_refused_or_doubted() -> None:
    evicting = GOOD | {"maxmemory": 1 << 30, "maxmemory_policy": "allkeys-lru"}
    (told,) = judge(evicting).fatal
    assert "set it to noeviction" in told
    # Without a limit nothing is evicted; with one set later it would be.
    unlimited = judge(evicting | {"maxmemory": 0})
    assert (unlimited.fatal, len(unlimited.doubts)) == ((), 1)
    assert "appendonly is off" in judge(GOOD | {"aof_enabled": 0}).doubts[0]
    assert "takes no writes" in judge(GOOD | {"role": "slave"}).doubts[0]
