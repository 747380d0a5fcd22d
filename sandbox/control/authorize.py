"""Authorize.Net's control endpoints: list lag, duplicate check, keys, statuses and refunds."""

from __future__ import annotations

from collections import defaultdict
from decimal import Decimal, InvalidOperation
from typing import Any, Final

from aiohttp import web

from sandbox.authorize.calls import CAPTURED, CARD, CUSTOMER, TRANSACTION, get_account, hash_keys
from sandbox.authorize.server import AuthorizeSettings
from sandbox.books import Books, KeyRecord, PageQuery, Record, Scope
from sandbox.control.requests import (
    ControlRefusal,
    Route,
    read_body,
    read_boolean,
    read_choice,
    read_seconds,
)

_STATUSES: Final = (
    "capturedPendingSettlement",
    "settledSuccessfully",
    "declined",
    "voided",
    "FDSPendingReview",
    "FDSAuthorizedPendingReview",
    "communicationError",
    "generalError",
)
"""The statuses that a transaction can be set to."""


class AuthorizeControl:
    """Handles the endpoints under `/_sandbox/authorize/`."""

    def __init__(self, books: Books, settings: AuthorizeSettings) -> None:
        self._books = books
        self._settings = settings

    def routes(self) -> list[Route]:
        """Return the method, path and handler of each endpoint."""
        return [
            ("POST", "/_sandbox/authorize/reports", self.set_lag),
            ("POST", "/_sandbox/authorize/duplicates", self.set_duplicates),
            ("POST", "/_sandbox/authorize/keys", self.register_key),
            ("POST", "/_sandbox/authorize/transactions", self.set_status),
            ("POST", "/_sandbox/authorize/refunds", self.refund),
        ]

    async def set_lag(self, request: web.Request) -> web.Response:
        """POST reports: lists omit transactions younger than the lag, until a restart."""
        body = await read_body(request, "lag_seconds")
        self._settings.lag_seconds = read_seconds(body.get("lag_seconds"), "lag_seconds")
        return web.json_response({"lag_seconds": self._settings.lag_seconds})

    async def set_duplicates(self, request: web.Request) -> web.Response:
        """POST duplicates: whether duplicate transactions are refused, until a restart."""
        body = await read_body(request, "known")
        self._settings.detects_duplicates = read_boolean(body.get("known"), "known")
        return web.json_response({"known": self._settings.detects_duplicates})

    async def register_key(self, request: web.Request) -> web.Response:
        """POST keys: revoke a login id's transaction key, or accept it again."""
        body = await read_body(request, "api_login_id", "transaction_key", "revoked")
        login_id, key = body.get("api_login_id"), body.get("transaction_key")
        if not isinstance(login_id, str) or not isinstance(key, str) or not login_id:
            raise ControlRefusal('Give "api_login_id" and "transaction_key" as texts.')
        revoked = read_boolean(body.get("revoked", True), "revoked")
        account = get_account(login_id)
        with self._books.transaction():
            self._books.register_key(hash_keys(login_id, key), KeyRecord(account, revoked))
        return web.json_response({"account": account, "revoked": revoked}, status=201)

    async def set_status(self, request: web.Request) -> web.Response:
        """POST transactions: set a transaction's status, as settlement or a review would."""
        body = await read_body(request, "transaction", "status")
        identifier = body.get("transaction")
        status = read_choice(body.get("status"), "status", _STATUSES)
        with self._books.transaction():
            found = self._books.find_in_any_scope(TRANSACTION, str(identifier))
            if found is None:
                raise ControlRefusal(f"There is no transaction {identifier}.")
            _, transaction = found
            transaction.body["status"] = status
            self._books.update(transaction)
        return web.json_response(transaction.body)

    async def refund(self, request: web.Request) -> web.Response:
        """POST refunds: refund a transaction, fully or in part, by a new transaction."""
        body = await read_body(request, "transaction", "amount")
        identifier = body.get("transaction")
        with self._books.transaction():
            found = self._books.find_in_any_scope(TRANSACTION, str(identifier))
            if found is None:
                raise ControlRefusal(f"There is no authorize transaction {identifier}.")
            scope, charged = found
            if charged.body["status"] not in CAPTURED:
                raise ControlRefusal(
                    f"A transaction that is {charged.body['status']} has no refund."
                )
            try:
                amount = Decimal(str(body.get("amount", charged.body["amount"])))
            except InvalidOperation:
                amount = Decimal(0)
            if not 0 < amount <= Decimal(charged.body["amount"]):
                raise ControlRefusal('Give "amount" above 0, at most what was charged.')
            refund = {
                **charged.body,
                "id": str(10**11 - 1 - int(charged.id) + int(amount * 100)),
                "created": int(self._books.clock()),
                "type": "refundTransaction",
                "status": "refundPendingSettlement",
                "amount": f"{amount:.2f}",
                "refunds": charged.id,
                "invoice_number": "",
            }
            self._books.add(scope, Record(TRANSACTION, refund))
        return web.json_response(refund, status=201)


def summarize_account(books: Books, scope: Scope, limit: int) -> dict[str, Any]:
    """Return the account's objects, newest first, and the sum of its captured transactions."""
    kinds: dict[str, Any] = {}
    for kind, plural in ((CUSTOMER, "customers"), (CARD, "cards"), (TRANSACTION, "transactions")):
        records, has_more = books.list_page(scope, kind, PageQuery(limit=limit))
        kinds[plural] = [record.body for record in records]
        kinds[f"more_{plural}"] = has_more
    taken: defaultdict[str, int] = defaultdict(int)
    for transaction in kinds["transactions"]:
        if transaction["status"] in CAPTURED:
            taken[transaction["currency"]] += int(Decimal(transaction["amount"]) * 100)
    return {"account": scope.account, "livemode": scope.livemode, **kinds, "taken": taken}
