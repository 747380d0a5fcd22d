"""Reads Authorize.Net's answers about customers and their cards. No I/O."""

import re
from typing import Final

from core.gateways.authorize.codes import Meaning, reading_of_call, reading_of_transaction
from core.gateways.authorize.responses import NO_CLEAR_ANSWER, answered, error_of
from core.gateways.authorize.xml import Answer, Failure, id_of
from core.gateways.gateway import Account, CardData, GatewayUnknown, SavedCard, network_of

_EXISTING_ID: Final = re.compile(r"\bID (\d+)\b")
_VALIDATION: Final = re.compile(r"(\d)\D+\d+\D+(\d+)\D")
"""Response code, a number of no use, reason code; the merchant chooses what stands between."""


def customer_id_of(answer: Answer | Failure, account: Account) -> tuple[str, bool]:
    """Read a customer's id, and whether the customer was there before.

    Raises:
        GatewayError: any of its kinds.
    """
    if isinstance(answer, Answer) and reading_of_call(answer.code).meaning is Meaning.DUPLICATE:
        existing = _EXISTING_ID.search(answer.text("messages/message/text"))
        if existing is None:
            raise GatewayUnknown(NO_CLEAR_ANSWER)
        return existing[1], True
    made = _saved(answer, account, "validationDirectResponseList/string")
    return _required_id(made.text("customerProfileId")), False


def card_id_of(answer: Answer | Failure, account: Account) -> tuple[str, bool]:
    """Read a card's id, and whether the customer had it before.

    Raises:
        GatewayError: any of its kinds.
    """
    is_known = (
        isinstance(answer, Answer) and reading_of_call(answer.code).meaning is Meaning.DUPLICATE
    )
    made = answer if is_known else _saved(answer, account, "validationDirectResponse")
    assert isinstance(made, Answer), "what failed was raised"
    path = "customerPaymentProfileIdList/numericString"
    identifier = made.text("customerPaymentProfileId") or made.text(path)
    return _required_id(identifier), is_known


def check_saved(answer: Answer | Failure, account: Account) -> None:
    """Read the answer to the change of a card.

    Raises:
        GatewayError: any of its kinds; CardDeclined where the issuer does not confirm the card.
    """
    _saved(answer, account, "validationDirectResponse")


def _saved(answer: Answer | Failure, account: Account, validation: str) -> Answer:
    """Return the answer of a card that was saved; a refused one tells why in its validation."""
    if isinstance(answer, Answer) and not answer.is_ok:
        said = _VALIDATION.match(answer.text(validation))
        if said is not None and said[1] in ("2", "3"):
            reading = reading_of_transaction(said[1], said[2])
            raise error_of(reading, said[2], account)
    return answered(answer, account)


def _required_id(text: str) -> str:
    identifier = id_of(text)
    if identifier is None:
        raise GatewayUnknown(NO_CLEAR_ANSWER)
    return identifier


def saved_card(gateway_card_id: str, card: CardData) -> SavedCard:
    """Return what to show of a card: no gateway's answer says it, but its number does."""
    number = card.number.reveal()
    network = network_of(number)
    brand = network.brand if network else "unknown"
    return SavedCard(gateway_card_id, brand, number[-4:], card.exp_month, card.exp_year)
