"""Stands in for Accept.js: gives a nonce for a card or a bank account, to be used once.

Accept.js posts a securePaymentContainerRequest as JSON to the API's path, from the cardholder's
browser: https://developer.authorize.net/api/reference/features/acceptjs.html. Card data stays in
memory, for 15 minutes at most; a restart forgets it.
"""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from sandbox.authorize.calls import CardInput, get_account
from sandbox.authorize.cards import find_brand
from sandbox.authorize.xml import ApiError
from sandbox.books import Json

DESCRIPTOR: Final = "COMMON.ACCEPT.INAPP.PAYMENT"
LIFE_SECONDS: Final = 15 * 60
NONCES_MAX: Final = 10_000
_DATE: Final = re.compile(r"(0[1-9]|1[0-2])(20[0-9]{2})")
"""Month and year, as Accept.js sends them."""
_CODE: Final = re.compile(r"[0-9]{3,4}")
_ACCOUNT_NUMBER: Final = re.compile(r"[0-9]{1,17}")


@dataclass(frozen=True, repr=False)
class _Given:
    """A nonce that was given. It has no `repr`, which would show the number."""

    account: str
    card: CardInput
    expires_at: float


class Nonces:
    """The nonces that were given and not used; `clock` gives Unix seconds."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._given: dict[str, _Given] = {}

    def answer(self, body: bytes) -> Json:
        """Return the response to the browser's request: a nonce, or an error."""
        try:
            value = self._give(_read(body))
        except ApiError as error:
            return {"messages": _messages("Error", error.code, error.text)}
        opaque_data = {"dataDescriptor": DESCRIPTOR, "dataValue": value}
        return {
            "opaqueData": opaque_data,
            "messages": _messages("Ok", "I00001", "Successful."),
        }

    def take(self, account: str, descriptor: str, value: str) -> CardInput:
        """Return the card of a nonce, which is spent then, also if the request fails.

        Raises:
            ApiError: E00113 to E00116.
        """
        if descriptor != DESCRIPTOR:
            raise ApiError("E00113", "Invalid OTS Token Data.")
        given = self._given.get(value)
        if given is None:
            raise ApiError("E00114", "Invalid OTS Token.")
        if given.account != account:
            raise ApiError("E00116", "OTS Token access violation")
        del self._given[value]
        if given.expires_at <= self._clock():
            raise ApiError("E00115", "Expired OTS Token.")
        return given.card

    def _give(self, request: Mapping[str, Any]) -> str:
        login_id, data = _authenticated(request), request["data"]
        given = _read_card(data["token"]) if "token" in data else _read_bank(data["bankToken"])
        value = secrets.token_urlsafe(96)
        self._given[value] = _Given(get_account(login_id), given, self._clock() + LIFE_SECONDS)
        while len(self._given) > NONCES_MAX:
            del self._given[next(iter(self._given))]
        return value


def _read_card(token: Mapping[str, str]) -> CardInput:
    date = _DATE.fullmatch(token.get("expirationDate", ""))
    if find_brand(token.get("cardNumber", "")) is None:
        raise ApiError("E_WC_05", "Please provide valid credit card number.")
    if date is None:
        raise ApiError("E_WC_08", "Expiration date must be in the future.")
    if not _CODE.fullmatch(token.get("cardCode", "000")):
        raise ApiError("E_WC_15", "Please provide valid CVV.")
    return CardInput(
        token["cardNumber"],
        f"{date[2]}-{date[1]}",
        token.get("cardCode", ""),
        token.get("zip", ""),
    )


def _read_bank(token: Mapping[str, str]) -> CardInput:
    """Return a bank account; any number is taken, as the sandbox debits none."""
    number = token.get("accountNumber", "")
    if not _ACCOUNT_NUMBER.fullmatch(number):
        raise ApiError("E_WC_27", "Please provide valid account number.")
    return CardInput(number, "", "", "", is_bank_account=True)


def _read(body: bytes) -> Mapping[str, Any]:
    """Return the content of a request; raises E00003 for one of another shape."""
    try:
        match json.loads(body):
            case {
                "securePaymentContainerRequest": {
                    "data": {"token": dict(token)} | {"bankToken": dict(token)}
                } as request
            } if all(isinstance(value, str) for value in token.values()):
                return dict(request)
    except (ValueError, RecursionError):
        pass
    raise ApiError("E00003", "The request has no readable securePaymentContainerRequest.")


def _authenticated(request: Mapping[str, Any]) -> str:
    """Return the API login id; any client key is taken, as the sandbox gives none out."""
    match request.get("merchantAuthentication"):
        case {"name": str(name), "clientKey": str(key)} if name and key:
            return name
    raise ApiError("E00007", "User authentication failed due to invalid authentication values.")


def _messages(result: str, code: str, text: str) -> Json:
    return {"resultCode": result, "message": [{"code": code, "text": text}]}
