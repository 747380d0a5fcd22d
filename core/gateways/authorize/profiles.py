"""Maps Authorize.Net's responses about customers and cards. No I/O."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

from core.gateways.authorize.codes import Meaning, reading_of_call, reading_of_transaction
from core.gateways.authorize.requests import expiration_date
from core.gateways.authorize.responses import NO_CLEAR_ANSWER, error_of, ok_answer
from core.gateways.authorize.xml import Answer, Failure, id_of
from core.gateways.gateway import (
    Account,
    CardChange,
    CardData,
    GatewayRefused,
    GatewayUnknown,
    SavedCard,
    network_of,
)

_EXISTING_ID: Final = re.compile(r"\bID (\d+)\b")
_VALIDATION: Final = re.compile(
    r"\D?(?P<code>[1-4])(?P<separator>\D+)\d+(?P=separator)(?P<reason>\d+)(?!\d)"
)
"""Response code, an unused number, reason code. The merchant chooses the separator, and a sign that
encloses each field."""

_EXPIRATION_DATE: Final = re.compile(r"(\d{4})-(0[1-9]|1[0-2])")
_MASKED_NUMBER: Final = re.compile(r"X+(\d{4})")
_BILL_TO: Final = (
    "firstName",
    "lastName",
    "company",
    "address",
    "city",
    "state",
    "zip",
    "country",
    "phoneNumber",
    "faxNumber",
    "email",
)
_SETTINGS: Final = ("customerType", "defaultPaymentProfile")
_BRANDS: Final = {
    # cardType of the schema, and its network as at Stripe.
    "Visa": "visa",
    "MasterCard": "mastercard",
    "AmericanExpress": "amex",
    "Discover": "discover",
    "JCB": "jcb",
    "DinersClub": "diners",
    "ChinaUnionPay": "unionpay",
}


@dataclass(frozen=True, slots=True)
class CardProfile:
    """A card as the gateway shows it, with its number masked."""

    card_number: str
    """Masked, as `XXXX1111`."""
    expiration_date: str
    """As `2030-12`."""
    card_type: str
    bill_to: Mapping[str, str]
    settings: Mapping[str, str]

    def changed(self, change: CardChange) -> "CardProfile":
        """Return the card after a change."""
        address = {
            "address": change.address,
            "city": change.city,
            "state": change.state,
            "zip": change.postal_code,
            "country": change.country,
        }
        date = self.expiration_date
        if change.exp_year is not None:
            date = f"{change.exp_year:04d}-{change.exp_month:02d}"
        given = {name: value for name, value in address.items() if value is not None}
        return replace(self, expiration_date=date, bill_to={**self.bill_to, **given})

    def card(self, gateway_card_id: str) -> SavedCard:
        """Return the card as stored here."""
        year, month = self.expiration_date.split("-")
        brand = _BRANDS.get(self.card_type, "unknown")
        return SavedCard(gateway_card_id, brand, self.card_number[-4:], int(month), int(year))


def read_profile(answer: Answer | Failure, account: Account) -> CardProfile:
    """Return a card that was read.

    Raises:
        GatewayError: any subclass; CustomerMissing if there is no such card.
    """
    for profile in ok_answer(answer, account).all("paymentProfile"):
        if (card := _profile_of(profile)) is not None:
            return card
    raise GatewayUnknown(NO_CLEAR_ANSWER)


def is_missing(answer: Answer | Failure) -> bool:
    """Return whether the gateway answers that it has no such record."""
    return isinstance(answer, Answer) and reading_of_call(answer.code).meaning is Meaning.MISSING


def is_bank_account(answer: Answer | Failure) -> bool:
    """Return whether a payment profile that was read is of a bank account."""
    return isinstance(answer, Answer) and bool(answer.all("paymentProfile/payment/bankAccount"))


def _profile_of(profile: Answer) -> CardProfile | None:
    """Return the card of a payment profile, or None if it shows none, such as a bank account."""
    number = profile.text("payment/creditCard/cardNumber")
    date = profile.text("payment/creditCard/expirationDate")
    if not _MASKED_NUMBER.fullmatch(number) or not _EXPIRATION_DATE.fullmatch(date):
        return None
    return CardProfile(
        card_number=number,
        expiration_date=date,
        card_type=profile.text("payment/creditCard/cardType"),
        bill_to={name: text for name in _BILL_TO if (text := profile.text(f"billTo/{name}"))},
        settings={name: text for name in _SETTINGS if (text := profile.text(name))},
    )


def customer_id_of(answer: Answer | Failure, account: Account) -> tuple[str | None, bool]:
    """Return a customer's id, and whether the customer existed before.

    The id is None if the customer existed and the answer does not have it.

    Raises:
        GatewayError: any subclass.
    """
    if isinstance(answer, Answer) and reading_of_call(answer.code).meaning is Meaning.DUPLICATE:
        existing = _EXISTING_ID.search(answer.text("messages/message/text"))
        return existing and existing[1], True
    made = _saved(answer, account, "validationDirectResponseList/string")
    return _required_id(made.text("customerProfileId")), False


def found_customer_id(answer: Answer | Failure, account: Account) -> str:
    """Return the id of a customer profile that was looked up.

    Raises:
        GatewayError: any subclass; CustomerMissing if there is none.
    """
    return _required_id(ok_answer(answer, account).text("profile/customerProfileId"))


def cards_of_profile(
    answer: Answer | Failure, account: Account, customer_id: str
) -> list[SavedCard]:
    """Return the cards of a customer profile that was read, the default card first.

    A customer need not have a default card (https://developer.authorize.net/api/reference/,
    Create Customer Payment Profile).

    Raises:
        GatewayError: any subclass; CustomerMissing if there is no such customer.
    """
    cards: list[SavedCard] = []
    for profile in ok_answer(answer, account).all("profile"):
        if profile.text("customerProfileId") != customer_id:
            break
        for shown in profile.all("paymentProfiles"):
            if (card := _profile_of(shown)) is None:
                continue
            saved = card.card(_required_id(shown.text("customerPaymentProfileId")))
            is_default = card.settings.get("defaultPaymentProfile") in ("true", "1")
            cards.insert(0 if is_default else len(cards), saved)
        return cards
    raise GatewayUnknown(NO_CLEAR_ANSWER)


def same_card_id(answer: Answer | Failure, account: Account, card: CardData) -> str:
    """Return the id of the card among those of a customer profile, whose numbers are masked.

    Of several with its last four digits it is the one with its postal code, and of several of those
    the one with its expiration date.

    Raises:
        GatewayError: any subclass; GatewayRefused if several cards look the same.
    """
    cards = ok_answer(answer, account).all("profile/paymentProfiles")
    last4 = card.number.reveal()[-4:]
    same = [each for each in cards if each.text("payment/creditCard/cardNumber")[-4:] == last4]
    for path, value in (
        ("billTo/zip", card.postal_code or ""),
        ("payment/creditCard/expirationDate", expiration_date(card)),
    ):
        same = [each for each in same if each.text(path) == value] or same
    if len(same) > 1:
        raise GatewayRefused(
            "Authorize.Net has this card already, and several cards of this customer look like it. "
            "Delete those that are not used in the merchant interface."
        )
    return _required_id(same[0].text("customerPaymentProfileId") if same else "")


def card_id_of(answer: Answer | Failure, account: Account) -> tuple[str | None, bool]:
    """Return a card's id, and whether the customer had it before.

    The id is None if the customer had the card and the answer does not have the id.

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
    return (id_of(identifier) if is_known else _required_id(identifier)), is_known


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
        if said is not None and said["code"] in ("2", "3"):
            reading = reading_of_transaction(said["code"], said["reason"])
            raise error_of(reading, said["reason"], account)
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
