"""The sandbox's own endpoints for webhooks, and for what a merchant does in a dashboard.

Under `/_sandbox/`, guarded as all of it: where events go, refunds and disputes at Stripe, refunds
at Authorize.Net.
"""

from __future__ import annotations

from decimal import Decimal, InvalidOperation
from typing import Any, Final

from aiohttp import web

from sandbox.authorize.calls import TRANSACTION
from sandbox.authorize.calls import account_of as authorize_account_of
from sandbox.books import Books, Record
from sandbox.control_requests import ControlRefusal, Route, json_object, refuse_others
from sandbox.stripe.keys import Scope, account_of, is_secret_key
from sandbox.stripe.resources import new_id
from sandbox.webhooks import Endpoint, Webhooks, is_here

COPIES_MAX: Final = 10
_DISPUTES: Final = ("needs_response", "won", "lost")
_REFUNDABLE: Final = ("capturedPendingSettlement", "settledSuccessfully")


class WebhookControl:
    """The handlers, over the books and webhooks of one application."""

    def __init__(self, books: Books, webhooks: Webhooks) -> None:
        self._books = books
        self._webhooks = webhooks

    def routes(self) -> list[Route]:
        """What is served where."""
        return [
            ("POST", "/_sandbox/webhooks", self.register),
            ("GET", "/_sandbox/webhooks", self.show),
            ("POST", "/_sandbox/webhooks/again", self.send_again),
            ("POST", "/_sandbox/stripe/refunds", self.refund),
            ("POST", "/_sandbox/stripe/disputes", self.dispute),
            ("POST", "/_sandbox/authorize/refunds", self.refund_transaction),
        ]

    async def register(self, request: web.Request) -> web.Response:
        """POST webhooks: where an account's events go, signed with which secret."""
        body = await json_object(request)
        refuse_others(body, ("key", "api_login_id", "url", "secret", "copies"))
        account = _account(body)
        url, secret, copies = body.get("url"), body.get("secret"), body.get("copies", 1)
        if not isinstance(url, str) or not is_here(url):
            raise ControlRefusal('Give "url" as http://127.0.0.1:PORT/…: events stay here.')
        if not isinstance(secret, str) or not secret:
            raise ControlRefusal('Give "secret": the stripe_webhook_secret or signature_key.')
        self._webhooks.register(account, Endpoint(url, secret, _copies(copies)))
        return web.json_response({"account": account, "url": url}, status=201)

    async def show(self, _request: web.Request) -> web.Response:
        """GET webhooks: endpoints, events sent, deliveries under way and given up."""
        return web.json_response(self._webhooks.described())

    async def send_again(self, request: web.Request) -> web.Response:
        """POST webhooks/again: all of an account's events once more, in another order if wanted."""
        body = await json_object(request)
        refuse_others(body, ("key", "api_login_id", "copies", "shuffled"))
        shuffled = body.get("shuffled", False)
        if not isinstance(shuffled, bool):
            raise ControlRefusal('Give "shuffled" as true or false.')
        sent = self._webhooks.send_again(
            _account(body), copies=_copies(body.get("copies", 1)), shuffled=shuffled
        )
        return web.json_response({"deliveries": sent})

    async def refund(self, request: web.Request) -> web.Response:
        """POST stripe/refunds: a succeeded payment intent is refunded, or a part of it."""
        body = await json_object(request)
        refuse_others(body, ("payment_intent", "amount"))
        with self._books.transaction():
            scope, charge = self._charge(body.get("payment_intent"))
            left = charge.body["amount"] - charge.body["amount_refunded"]
            amount = body.get("amount", left)
            if type(amount) is not int or not 0 < amount <= left:
                raise ControlRefusal(f'Give "amount" as a whole number from 1 to {left}.')
            refund = self._made(scope, charge, "refund", "re", amount, "succeeded")
            charge.body["amount_refunded"] += amount
            charge.body["refunded"] = charge.body["amount_refunded"] == charge.body["amount"]
            self._books.change(charge)
        return web.json_response(refund.body, status=201)

    async def dispute(self, request: web.Request) -> web.Response:
        """POST stripe/disputes: a payment intent is disputed, or that is won or lost."""
        body = await json_object(request)
        refuse_others(body, ("payment_intent", "status"))
        status = body.get("status", "needs_response")
        if status not in _DISPUTES:
            raise ControlRefusal(f'Give "status" as one of {", ".join(_DISPUTES)}.')
        with self._books.transaction():
            scope, charge = self._charge(body.get("payment_intent"))
            known = charge.private.get("dispute")
            dispute = self._books.find(scope, "dispute", known) if known else None
            if dispute is None:
                amount = charge.body["amount"]
                dispute = self._made(scope, charge, "dispute", "dp", amount, status)
                charge.private["dispute"] = dispute.id
                charge.body["disputed"] = True
                self._books.change(charge)
            else:
                dispute.body["status"] = status
                self._books.change(dispute)
        return web.json_response(dispute.body, status=201)

    async def refund_transaction(self, request: web.Request) -> web.Response:
        """POST authorize/refunds: a transaction is refunded, or a part of it, by another one."""
        body = await json_object(request)
        refuse_others(body, ("transaction", "amount"))
        with self._books.transaction():
            scope, found = self._found(TRANSACTION, body.get("transaction"))
            if found.body["status"] not in _REFUNDABLE:
                raise ControlRefusal(f"A transaction that is {found.body['status']} has no refund.")
            try:
                amount = Decimal(str(body.get("amount", found.body["amount"])))
            except InvalidOperation:
                amount = Decimal(0)
            if not 0 < amount <= Decimal(found.body["amount"]):
                raise ControlRefusal('Give "amount" above 0, at most what was charged.')
            refund = {
                **found.body,
                "id": str(10**11 - 1 - int(found.id) + int(amount * 100)),
                "created": int(self._books.clock()),
                "type": "refundTransaction",
                "status": "refundPendingSettlement",
                "amount": f"{amount:.2f}",
                "refunds": found.id,
                "invoice_number": "",
            }
            self._books.add(scope, Record(TRANSACTION, refund))
        return web.json_response(refund, status=201)

    def _charge(self, intent_id: object) -> tuple[Scope, Record]:
        scope, intent = self._found("payment_intent", intent_id)
        charge = self._books.find(scope, "charge", str(intent.body["latest_charge"]))
        if charge is None or not charge.body["paid"]:
            raise ControlRefusal(f"The payment intent {intent.id} has no charge that succeeded.")
        return scope, charge

    def _found(self, kind: str, identifier: object) -> tuple[Scope, Record]:
        for scope in self._books.accounts():
            if (found := self._books.find(scope, kind, str(identifier))) is not None:
                return scope, found
        raise ControlRefusal(f"There is no {kind.replace('_', ' ')} {identifier}.")

    def _made(
        self, scope: Scope, charge: Record, kind: str, prefix: str, amount: int, status: str
    ) -> Record:
        made: dict[str, Any] = {
            "id": new_id(prefix),
            "object": kind,
            "amount": amount,
            "charge": charge.id,
            "created": int(self._books.clock()),
            "currency": charge.body["currency"],
            "metadata": {},
            "payment_intent": charge.body["payment_intent"],
            "reason": None,
            "status": status,
        }
        record = Record(kind, made)
        self._books.add(scope, record)
        return record


def _account(body: dict[str, Any]) -> str:
    key, login_id = body.get("key"), body.get("api_login_id")
    if isinstance(login_id, str) and login_id and key is None:
        return authorize_account_of(login_id)
    if isinstance(key, str) and is_secret_key(key) and login_id is None:
        return account_of(key)
    raise ControlRefusal('Give "key" (the stripe_secret_key) or "api_login_id".')


def _copies(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= COPIES_MAX:
        raise ControlRefusal(f'Give "copies" as a whole number from 1 to {COPIES_MAX}.')
    return value
