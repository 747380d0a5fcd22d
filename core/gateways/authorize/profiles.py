"""Maps Authorize.Net's responses about customers and cards. No I/O."""

import re
from typing import Final

from core.gateways.authorize.codes import Meaning, reading_of_call, reading_of_transaction
from core.gateways.authorize.responses import NO_CLEAR_ANSWER, error_of, ok_answer
from core.gateways.authorize.xml import Answer, Failure, id_of
from core.gateways.gateway import Account, CardData, GatewayUnknown, SavedCard, network_of

_EXISTING_ID: Final = re.compile(r"\bID (\d+)\b")
_VALIDATION: Final = re.compile(r"(\d)\D+\d+\D+(\d+)\D")
"""Response code, an unused number, reason code; the merchant chooses the separators."""


def customer_id_of(answer: Answer | Failure, account: Account) -> tuple[str, bool]:
    """Return a customer's id, and whether the customer existed before.

    Raises:
        GatewayError: any subclass.
    """
    if isinstance(answer, Answer) and reading_of_call(answer.code).meaning is Meaning.DUPLICATE:
        existing = _EXISTING_ID.search(answer.text("messages/message/text"))
        if existing is None:
            raise GatewayUnknown(NO_CLEAR_ANSWER)
        return existing[1], True
    made = _saved(answer, account, "validationDirectResponseList/string")
    return _required_id(made.text("customerProfileId")), False


def card_id_of(answer: Answer | Failure, account: Account) -> tuple[str, bool]:
    """Return a card's id, and whether the customer had it before.

    Raises:
        GatewayError: any subclass.
    """
    is_known = (
        isinstance(answer, Answer) and reading_of_call(answer.code).meaning is Meaning.DUPLICATE
    )
    made = answer if is_known else _saved(answer, account, "validationDirectResponse")
    assert isinstance(made, Answer), "a failure was raised"
    path = "customerPaymentProfileIdList/numericString"
    identifier = made.text("customerPaymentProfileId") or made.text(path)
    return _required_id(identifier), is_known


def check_saved(answer: Answer | Failure, account: Account) -> None:
    """Check the response to the update of a card.

    Raises:
        GatewayError: any subclass; CardDeclined if the issuer does not confirm the card.
    """
    _saved(answer, account, "validationDirectResponse")


def _saved(answer: Answer | Failure, account: Account, validation: str) -> Answer:
    """Return the answer about a saved card; a refused one has the reason in `validation`."""
    if isinstance(answer, Answer) and not answer.is_ok:
        said = _VALIDATION.match(answer.text(validation))
        if said is not None and said[1] in ("2", "3"):
            reading = reading_of_transaction(said[1], said[2])
            raise error_of(reading, said[2], account)
    return ok_answer(answer, account)


def _required_id(text: str) -> str:
    identifier = id_of(text)
    if identifier is None:
        raise GatewayUnknown(NO_CLEAR_ANSWER)
    return identifier


def saved_card(gateway_card_id: str, card: CardData) -> SavedCard:
    """Return a card as stored: its brand and last digits come from its number."""
    number = card.number.reveal()
    network = network_of(number)
    brand = network.brand if network else "unknown"
    return SavedCard(gateway_card_id, brand, number[-4:], card.exp_month, card.exp_year)
