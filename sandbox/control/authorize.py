"""Authorize.Net's control endpoints: lag, duplicates, keys, statuses, reviews and refunds."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import asdict
from decimal import Decimal, InvalidOperation
from typing import Any, Final

from aiohttp import web

from sandbox.authorize import settlement
from sandbox.authorize.calls import (
    CAPTURED,
    CARD,
    CUSTOMER,
    IN_REVIEW,
    REFUNDED,
    TRANSACTION,
    AnswerFormat,
    get_account,
    get_settled_amount,
    hash_keys,
)
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

INVOICE_CHARACTERS_MAX: Final = 20
_STATUSES: Final = (
    *CAPTURED,
    *IN_REVIEW,
    "declined",
    "voided",
    "expired",
    "failedReview",
    "settlementError",
    "communicationError",
    "generalError",
)
"""The statuses that a charge can be set to, whatever it was."""
_SETTLED_REFUND: Final = "refundSettledSuccessfully"


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
            ("POST", "/_sandbox/authorize/answers", self.set_answer_format),
            ("POST", "/_sandbox/authorize/keys", self.register_key),
            ("POST", "/_sandbox/authorize/transactions", self.set_status),
            ("POST", "/_sandbox/authorize/reviews", self.review),
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

    async def set_answer_format(self, request: web.Request) -> web.Response:
        """POST answers: how an account's answers about cards look, until a restart."""
        body = await read_body(
            request, "api_login_id", "names_duplicates", "separator", "enclosing"
        )
        login_id = body.get("api_login_id")
        signs = body.get("separator", ","), body.get("enclosing", "")
        if not isinstance(login_id, str) or not login_id:
            raise ControlRefusal('Give "api_login_id" as a text.')
        are_signs = all(isinstance(sign, str) and sign.isprintable() for sign in signs)
        if not are_signs or len(signs[0]) != 1 or len(signs[1]) > 1:
            raise ControlRefusal('Give "separator" and "enclosing" as one character each.')
        names = read_boolean(body.get("names_duplicates", True), "names_duplicates")
        chosen = AnswerFormat(names, *signs)
        self._settings.answer_formats[get_account(login_id)] = chosen
        return web.json_response(asdict(chosen))

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
        """POST transactions: set a charge's status; a refund settles, fails or is voided."""
        body = await read_body(request, "transaction", "status")
        status = read_choice(body.get("status"), "status", (*_STATUSES, _SETTLED_REFUND))
        with self._books.transaction():
            _, transaction = self._find(body)
            choices: tuple[str, ...] = _STATUSES
            if settlement.is_refund(transaction):
                choices = settlement.REFUND_MOVES.get(transaction.body["status"], ())
                if not choices:
                    raise ControlRefusal(
                        f"The refund is {transaction.body['status']}, which is final."
                    )
            settlement.move(self._books, transaction, read_choice(status, "status", choices))
        return web.json_response(transaction.body)

    async def review(self, request: web.Request) -> web.Response:
        """POST reviews: approve or decline a held transaction, or let its time pass."""
        body = await read_body(request, "transaction", "decision")
        decision = read_choice(body.get("decision"), "decision", tuple(settlement.DECISIONS))
        with self._books.transaction():
            _, transaction = self._find(body)
            if transaction.body["status"] not in IN_REVIEW:
                raise ControlRefusal(
                    f"The transaction is {transaction.body['status']}: it is not held for review."
                )
            settlement.decide(self._books, transaction, decision)
        return web.json_response(transaction.body)

    async def refund(self, request: web.Request) -> web.Response:
        """POST refunds: refund a settled transaction, fully or in part, by a new transaction."""
        body = await read_body(request, "transaction", "amount", "invoice_number")
        invoice_number = body.get("invoice_number", "")
        if not isinstance(invoice_number, str) or len(invoice_number) > INVOICE_CHARACTERS_MAX:
            raise ControlRefusal('Give "invoice_number" as a text of at most 20 characters.')
        with self._books.transaction():
            scope, charged = self._find(body)
            if charged.body["status"] != "settledSuccessfully":
                raise ControlRefusal(
                    f"The transaction is {charged.body['status']}: only one that is "
                    "settledSuccessfully has refunds. Set its status, or void it instead."
                )
            refundable = settlement.get_refundable(self._books, scope, charged)
            amount = _read_amount(body.get("amount", str(refundable)), refundable)
            refund = settlement.add_refund(self._books, scope, charged, amount, invoice_number)
        return web.json_response(refund.body, status=201)

    def _find(self, body: dict[str, Any]) -> tuple[Scope, Record]:
        """Return the transaction that the body names, and its account."""
        identifier = body.get("transaction")
        if not isinstance(identifier, str) or not identifier:
            raise ControlRefusal('Give "transaction" as the id of a transaction.')
        found = self._books.find_in_any_scope(TRANSACTION, identifier)
        if found is None:
            raise ControlRefusal(f"There is no transaction {identifier}.")
        return found


def _read_amount(value: object, maximum: Decimal) -> Decimal:
    """Return an amount of whole cents, from a number or a text."""
    try:
        amount = Decimal(str(value))
    except InvalidOperation:
        amount = Decimal(0)
    if not amount.is_finite() or not 0 < amount <= maximum or amount != round(amount, 2):
        raise ControlRefusal(f'Give "amount" above 0, at most {maximum}, in whole cents.')
    return amount


def summarize_account(books: Books, scope: Scope, limit: int) -> dict[str, Any]:
    """Return the account's objects, newest first, and what remains of its captured charges."""
    kinds: dict[str, Any] = {}
    for kind, plural in ((CUSTOMER, "customers"), (CARD, "cards"), (TRANSACTION, "transactions")):
        records, has_more = books.list_page(scope, kind, PageQuery(limit=limit))
        kinds[plural] = [record.body for record in records]
        kinds[f"more_{plural}"] = has_more
    taken: defaultdict[str, int] = defaultdict(int)
    for transaction in kinds["transactions"]:
        cents = int(get_settled_amount(transaction) * 100)
        if transaction["status"] in CAPTURED:
            taken[transaction["currency"]] += cents
        elif transaction["status"] in REFUNDED:
            taken[transaction["currency"]] -= cents
    return {"account": scope.account, "livemode": scope.livemode, **kinds, "taken": taken}
