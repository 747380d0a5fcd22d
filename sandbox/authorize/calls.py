"""The call that an endpoint of Authorize.Net's API receives, and its authentication.

An endpoint is a function from a `Call` to the fields of a response. It runs inside a transaction;
raising rolls its writes back.

An API login id is an account. It accepts every transaction key of 8 to 16 letters and digits that
the control endpoint has not revoked: keys need no setup and can change. Only SHA-256 digests of
keys are stored.
"""

from __future__ import annotations

import datetime
import re
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from sandbox.authorize.xml import ApiError, Element, Field
from sandbox.books import Books, Json, Record, Scope, hash_key

CUSTOMER: Final = "authorize_customer"
CARD: Final = "authorize_card"
TRANSACTION: Final = "authorize_transaction"
CAPTURED: Final = ("capturedPendingSettlement", "settledSuccessfully")
"""The statuses of a transaction whose money was taken."""
AUTHORIZED: Final = "authorizedPendingCapture"
"""The status of a transaction whose money is reserved and not taken."""
REFUNDED: Final = ("refundPendingSettlement", "refundSettledSuccessfully")
"""The statuses of a refund that gives money back."""
IN_REVIEW: Final = ("FDSPendingReview", "FDSAuthorizedPendingReview", "underReview")
"""The statuses of a transaction that waits for the merchant's decision."""

_ACCOUNT_PREFIX: Final = "authorize:"
_TRANSACTION_KEY: Final = re.compile(r"[A-Za-z0-9]{8,16}")
_FIRST_DIGITS: Final = {CUSTOMER: "51", CARD: "52", TRANSACTION: "60"}


@dataclass(frozen=True)
class AnswerFormat:
    """How an account's answers about customers and cards look.

    A merchant chooses the separator of a direct response, and what encloses each of its fields.
    """

    names_duplicates: bool = True
    """Whether the refusal of a duplicate (E00039) names the existing record."""
    separator: str = ","
    enclosing: str = ""


@dataclass(frozen=True, repr=False)
class CardInput:
    """Card data of a request, in clear or behind a nonce. No `repr`: it would show the number."""

    number: str
    expiration_date: str
    """As `2030-12`, or masked."""
    code: str
    postal_code: str
    is_bank_account: bool = False
    """Whether it is a bank account, whose number is `number`; the rest is empty."""


TakeNonce = Callable[[str, str, str], CardInput]
"""Returns the card of an account's nonce, by its descriptor and value, and spends it."""


def refuse_nonce(_account: str, _descriptor: str, _value: str) -> CardInput:
    """Refuse any nonce."""
    raise ApiError("E00114", "Invalid OTS Token.")


@dataclass(frozen=True)
class Call:
    """An authenticated request; `now` in Unix seconds. Lists show nothing within `lag_seconds`."""

    books: Books
    scope: Scope
    request: Element
    now: float
    lag_seconds: float = 0.0
    detects_duplicates: bool = True
    answer_format: AnswerFormat = AnswerFormat()
    take_nonce: TakeNonce = refuse_nonce

    def add(self, record: Record) -> Record:
        """Store a new object and return it."""
        self.books.add(self.scope, record)
        return record


Fields = Sequence[Field]
Endpoint = Callable[[Call], Fields]


def get_settled_amount(body: Json) -> Decimal:
    """Return what a transaction takes or gives back: of an authorization what was captured."""
    return Decimal(str(body.get("captured_amount", body["amount"])))


def generate_id(kind: str) -> str:
    """Return a new id of eleven digits; its first digits depend on the kind."""
    return f"{_FIRST_DIGITS[kind]}{secrets.randbelow(10**9):09d}"


def format_moment(seconds: float) -> str:
    """Return Unix seconds as a stored time, with milliseconds and UTC's offset."""
    moment = datetime.datetime.fromtimestamp(seconds, datetime.UTC)
    return moment.isoformat(timespec="milliseconds")


def get_account(login_id: str) -> str:
    """Return the stored account of an API login id."""
    return _ACCOUNT_PREFIX + login_id


def is_account(account: str) -> bool:
    """Return whether an account is one of Authorize.Net's."""
    return account.startswith(_ACCOUNT_PREFIX)


def hash_keys(login_id: str, transaction_key: str) -> str:
    """Return the SHA-256 digest under which a pair of keys is stored."""
    return hash_key(f"{login_id}:{transaction_key}")


def authenticate(request: Element, books: Books) -> Scope:
    """Return the account of the request's keys; raises E00007."""
    login_id = request.text("merchantAuthentication/name")
    key = request.text("merchantAuthentication/transactionKey")
    registered = books.find_key(hash_keys(login_id, key))
    is_revoked = registered is not None and registered.revoked
    if not login_id or not _TRANSACTION_KEY.fullmatch(key) or is_revoked:
        raise ApiError("E00007", "User authentication failed due to invalid authentication values.")
    return Scope(get_account(login_id), livemode=False)
