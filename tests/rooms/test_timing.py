"""When a delivery is tried again: properties for any age and policy."""

from hypothesis import given, settings
from hypothesis import strategies as st

from kinto_notify.delivery import RetryPolicy, retry_delay, too_old

DAY = 86_400_000
ages = st.integers(0, 30 * DAY)
jitters = st.floats(0, 1, exclude_max=True)
policies = st.tuples(st.integers(1_000, DAY), st.integers(1_000, DAY), st.integers(1_000, 30 * DAY)).map(
    lambda times: RetryPolicy(min(times[:2]), max(times[:2]), times[2])
)


@settings(deadline=None)
@given(policies, ages, jitters)
def test_s07_a_delay_keeps_to_the_policy(policy: RetryPolicy, age: int, jitter: float) -> None:
    """A greylisting relay refuses what comes back too soon."""
    assert policy.least <= retry_delay(policy, age, jitter) <= policy.most


@settings(deadline=None)
@given(policies, ages, ages, jitters)
def test_an_older_delivery_never_comes_sooner(policy: RetryPolicy, one: int, other: int, jitter: float) -> None:
    young, old = sorted((one, other))
    assert retry_delay(policy, young, jitter) <= retry_delay(policy, old, jitter)


@settings(deadline=None)
@given(policies, ages, jitters, jitters)
def test_jitter_spreads_those_of_one_age(policy: RetryPolicy, age: int, one: float, other: float) -> None:
    low, high = sorted((one, other))
    assert retry_delay(policy, age, low) <= retry_delay(policy, age, high)


@settings(deadline=None)
@given(st.integers(300_000, 9_000_000))
def test_jitter_is_a_fifth_to_either_side(age: int) -> None:
    policy = RetryPolicy(60_000, 3_600_000, DAY)
    assert abs(retry_delay(policy, age, 0.0) - age / 3 * 0.8) <= 2
    assert abs(retry_delay(policy, age, 0.999999) - age / 3 * 1.2) <= 2 + age * 1e-5


def test_jitter_spreads_at_both_bounds() -> None:
    """A thousand mails of one digest that were deferred together do not come back together."""
    policy = RetryPolicy(60_000, 3_600_000, DAY)
    assert [retry_delay(policy, 0, jitter) for jitter in (0.0, 0.5, 0.999999)] == [60_000, 66_000, 71_999]
    assert [retry_delay(policy, DAY, jitter) for jitter in (0.0, 0.5, 0.999999)] == [2_880_000, 3_240_000, 3_599_999]


def test_the_delays_of_one_delivery_that_is_never_taken() -> None:
    """The defaults: a minute at first, an hour at last, given up after three days."""
    policy, age, delays = RetryPolicy(), 0, []
    while not too_old(policy, age):
        delays.append(retry_delay(policy, age, 0.5))
        age += delays[-1]
    assert delays[0] == 66_000
    assert delays[-1] == 3_240_000
    assert delays == sorted(delays)
    assert 70 < len(delays) < 110
    assert 3 * DAY <= age <= 3 * DAY + 3_600_000


@settings(deadline=None)
@given(policies, ages)
def test_too_old_from_the_very_millisecond(policy: RetryPolicy, age: int) -> None:
    assert too_old(policy, age) == (age >= policy.give_up_after)
