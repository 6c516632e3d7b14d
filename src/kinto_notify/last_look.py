"""The last look: may a delivery go out? Asked in one place, before a session is taken and again just before the body.

Pure. In: a delivery as it was leased, and what is known of it by now. Out: None, it may; or why it is withheld.
"""

from dataclasses import dataclass

from kinto_notify.delivery import Delivery


@dataclass(frozen=True, slots=True)
class Withheld:
    """Why a delivery does not go out. `for_good`: a dead letter; else it is due again, perhaps elsewhere.

    `wished`: its recipient wants it so; it goes, and nothing is kept of it.
    """

    reason: str
    for_good: bool
    wished: bool = False


def last_look(delivery: Delivery, *, ours: bool, body: bool) -> Withheld | None:
    """Decide. `ours`: the lease (and the permit of the rate) stands by our own clock; `body`: Redis has its body.

    A lease that is over comes first: whoever holds the delivery now decides about it.
    """
    if not ours:
        return Withheld("its lease is over", for_good=False)
    if delivery.unwanted is not None:
        return Withheld(delivery.unwanted, for_good=True, wished=True)
    if delivery.suppressed is not None:
        reason = (
            f"suppressed: the relay said twice that nobody has this address ({delivery.suppressed}); "
            "'kinto-notify recipients resubscribe ADDRESS' lifts it"
        )
        return Withheld(reason, for_good=True)
    if not body:
        # Somebody removed it: our own scripts keep it as long as there is a delivery.
        return Withheld("its body is not in Redis any more", for_good=True)
    return None
