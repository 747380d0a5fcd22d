"""One call of Authorize.Net's API as its endpoints see it, and whose keys it carries.

Endpoints are plain functions from a `Call` to the fields of an answer. They run inside one
transaction; what they raise undoes their effect.

An API login id is an account. Every transaction key of 8 to 16 letters and digits opens it, unless
the control endpoint revoked that pair: so a merchant's key can change and nothing is set up first.
Keys are known by their SHA-256 only.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from sandbox.authorize.xml import ApiError, Element, Field
from sandbox.books import Books, Record
from sandbox.stripe.keys import Scope, digest_of

CUSTOMER: Final = "authorize_customer"
CARD: Final = "authorize_card"
TRANSACTION: Final = "authorize_transaction"

_ACCOUNT_PREFIX: Final = "authorize:"
_TRANSACTION_KEY: Final = re.compile(r"[A-Za-z0-9]{8,16}")
_FIRST_DIGITS: Final = {CUSTOMER: "51", CARD: "52", TRANSACTION: "60"}


@dataclass(frozen=True)
class Call:
    """A request after authentication; `now` in Unix seconds, `lag` in seconds."""

    books: Books
    scope: Scope
    request: Element
    now: float
    lag: float = 0.0
    knows_duplicates: bool = True

    def keep(self, record: Record) -> Record:
        """Writes a new object."""
        self.books.add(self.scope, record)
        return record

    def new_id(self, kind: str) -> str:
        """An id of eleven digits; no two kinds share one."""
        return f"{_FIRST_DIGITS[kind]}{secrets.randbelow(10**9):09d}"


Fields = Sequence[Field]
Endpoint = Callable[[Call], Fields]


def account_of(login_id: str) -> str:
    """The account of an API login id, as the books name it."""
    return _ACCOUNT_PREFIX + login_id


def is_account(account: str) -> bool:
    """Whether an account is one of Authorize.Net's."""
    return account.startswith(_ACCOUNT_PREFIX)


def pair_digest(login_id: str, transaction_key: str) -> str:
    """The form in which a pair of keys may be stored."""
    return digest_of(f"{login_id}:{transaction_key}")


def authenticate(request: Element, books: Books) -> Scope:
    """The scope that the request's keys open; raises E00007."""
    login_id = request.text("merchantAuthentication/name")
    key = request.text("merchantAuthentication/transactionKey")
    known = books.find_key(pair_digest(login_id, key))
    if not login_id or not _TRANSACTION_KEY.fullmatch(key) or (known and known.revoked):
        raise ApiError("E00007", "User authentication failed due to invalid authentication values.")
    return Scope(account_of(login_id), livemode=False)
