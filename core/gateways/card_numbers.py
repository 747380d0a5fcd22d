"""What a card number says of itself: its network, and how many digits that network's have. Pure."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Network:
    """A card network, in Stripe's words."""

    brand: str
    begins: str
    """How its numbers begin, as a regular expression (ISO/IEC 7812)."""
    lengths: Sequence[int] = (16,)
    cvv_digits: int = 3


NETWORKS: Final[Sequence[Network]] = (
    Network("visa", r"4", (13, 16, 19)),
    Network("mastercard", r"5[1-5]|222[1-9]|22[3-9]|2[3-6]|27[01]|2720"),
    Network("amex", r"3[47]", (15,), cvv_digits=4),
    Network("discover", r"6011|64[4-9]|65", (16, 19)),
    Network("jcb", r"352[89]|35[3-8]|3088", (16, 19)),
    Network("diners", r"30[0-5]|3[689]", (14, 16, 19)),
    Network("unionpay", r"62", (16, 17, 18, 19)),
)


def network_of(number: str) -> Network | None:
    """Return the network of a card number, or None where it is none that is known."""
    return next((each for each in NETWORKS if re.match(each.begins, number)), None)
