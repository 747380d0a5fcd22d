"""The sandbox's own endpoints for Authorize.Net: its lists' lag, its keys, what becomes of charges.

Under `/_sandbox/authorize/`, guarded as all of `/_sandbox/`. Shows no key and no card number.
"""

from __future__ import annotations

from collections import defaultdict
from decimal import Decimal
from typing import Any, Final

from aiohttp import web

from sandbox.authorize.calls import (
    CARD,
    CUSTOMER,
    TRANSACTION,
    account_of,
    pair_digest,
)
from sandbox.authorize.server import Reports
from sandbox.books import Books, PageQuery
from sandbox.control_requests import ControlRefusal, Route, json_object, refuse_others, seconds_of
from sandbox.stripe.keys import KeyRecord, Scope

STATUSES: Final = (
    "capturedPendingSettlement",
    "settledSuccessfully",
    "declined",
    "voided",
    "FDSPendingReview",
    "FDSAuthorizedPendingReview",
    "communicationError",
    "generalError",
)
"""What a transaction can be made to be: settled, approved or declined after a review, or odd."""

_TAKEN: Final = frozenset(("capturedPendingSettlement", "settledSuccessfully"))


class AuthorizeControl:
    """The handlers, over the books of one application."""

    def __init__(self, books: Books, reports: Reports) -> None:
        self._books = books
        self._reports = reports

    def routes(self) -> list[Route]:
        """What is served where."""
        return [
            ("POST", "/_sandbox/authorize/reports", self.set_lag),
            ("POST", "/_sandbox/authorize/duplicates", self.set_duplicates),
            ("POST", "/_sandbox/authorize/keys", self.register_key),
            ("POST", "/_sandbox/authorize/transactions", self.set_status),
        ]

    async def set_lag(self, request: web.Request) -> web.Response:
        """POST reports: the lists show nothing younger than so many seconds. A restart forgets."""
        body = await json_object(request)
        refuse_others(body, ("lag_seconds",))
        self._reports.lag = seconds_of(body.get("lag_seconds"), "lag_seconds")
        return web.json_response({"lag_seconds": self._reports.lag})

    async def set_duplicates(self, request: web.Request) -> web.Response:
        """POST duplicates: whether a transaction is known again. A restart forgets."""
        body = await json_object(request)
        refuse_others(body, ("known",))
        if not isinstance(body.get("known"), bool):
            raise ControlRefusal('Give "known" as true or false.')
        self._reports.knows_duplicates = body["known"]
        return web.json_response({"known": self._reports.knows_duplicates})

    async def register_key(self, request: web.Request) -> web.Response:
        """POST keys: whether a login id and transaction key are revoked."""
        body = await json_object(request)
        refuse_others(body, ("api_login_id", "transaction_key", "revoked"))
        login_id, key = body.get("api_login_id"), body.get("transaction_key")
        revoked = body.get("revoked", True)
        if not isinstance(login_id, str) or not isinstance(key, str) or not login_id:
            raise ControlRefusal('Give "api_login_id" and "transaction_key" as texts.')
        if not isinstance(revoked, bool):
            raise ControlRefusal('Give "revoked" as true or false.')
        account = account_of(login_id)
        with self._books.transaction():
            self._books.register_key(pair_digest(login_id, key), KeyRecord(account, revoked))
        return web.json_response({"account": account, "revoked": revoked}, status=201)

    async def set_status(self, request: web.Request) -> web.Response:
        """POST transactions: a charge is settled, or its review ends, as if time had passed."""
        body = await json_object(request)
        refuse_others(body, ("transaction", "status"))
        identifier, status = body.get("transaction"), body.get("status")
        if status not in STATUSES:
            raise ControlRefusal(f'Give "status" as one of {", ".join(STATUSES)}.')
        with self._books.transaction():
            for scope in self._books.accounts():
                found = self._books.find(scope, TRANSACTION, str(identifier))
                if found is not None:
                    found.body["status"] = status
                    self._books.change(found)
                    return web.json_response(found.body)
        raise ControlRefusal(f"There is no transaction {identifier}.")


def books_of(books: Books, scope: Scope, limit: int) -> dict[str, Any]:
    """What an account holds, newest first, and what its charges add up to, by currency."""
    kinds: dict[str, Any] = {}
    for kind, shown in ((CUSTOMER, "customers"), (CARD, "cards"), (TRANSACTION, "transactions")):
        records, more = books.page(scope, kind, PageQuery(limit=limit))
        kinds[shown] = [record.body for record in records]
        kinds[f"more_{shown}"] = more
    taken: defaultdict[str, int] = defaultdict(int)
    for transaction in kinds["transactions"]:
        if transaction["status"] in _TAKEN:
            taken[transaction["currency"]] += int(Decimal(transaction["amount"]) * 100)
    return {"account": scope.account, "livemode": scope.livemode, **kinds, "taken": taken}
