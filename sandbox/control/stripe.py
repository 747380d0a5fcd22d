"""Stripe's control endpoints: keys, 3D Secure, and the dashboard's refunds and disputes."""

from __future__ import annotations

from collections import defaultdict
from typing import Any, Final

from aiohttp import web

from sandbox.books import Books, KeyRecord, PageQuery, Record, Scope, hash_key
from sandbox.control.requests import ControlRefusal, Route, read_body, read_boolean, read_choice
from sandbox.stripe.api import API_VERSION
from sandbox.stripe.calls import Call
from sandbox.stripe.confirmation import complete_authentication
from sandbox.stripe.errors import StripeError
from sandbox.stripe.keys import get_account, is_account, is_secret_key
from sandbox.stripe.resources import generate_id

_DISPUTE_STATUSES: Final = ("needs_response", "won", "lost")


class StripeControl:
    """Handles the endpoints that act on Stripe's accounts."""

    def __init__(self, books: Books) -> None:
        self._books = books

    def routes(self) -> list[Route]:
        """Return the method, path and handler of each endpoint."""
        return [
            ("POST", "/_sandbox/keys", self.register_key),
            ("POST", "/_sandbox/authentications", self.authenticate_cardholder),
            ("POST", "/_sandbox/stripe/refunds", self.refund),
            ("POST", "/_sandbox/stripe/disputes", self.dispute),
        ]

    async def register_key(self, request: web.Request) -> web.Response:
        """POST keys: register a secret key for an account, or revoke it."""
        body = await read_body(request, "key", "account", "revoked")
        key = body.get("key")
        if not isinstance(key, str) or not is_secret_key(key):
            raise ControlRefusal('Give "key" as a secret key: sk_ or rk_, then test_ or live_.')
        account = body.get("account", get_account(key))
        if not isinstance(account, str) or not is_account(account):
            raise ControlRefusal('Give "account" as acct_ and letters or digits.')
        revoked = read_boolean(body.get("revoked", False), "revoked")
        with self._books.transaction():
            self._books.register_key(hash_key(key), KeyRecord(account, revoked))
        return web.json_response({"account": account, "revoked": revoked}, status=201)

    async def authenticate_cardholder(self, request: web.Request) -> web.Response:
        """POST authentications: the cardholder passes or fails 3D Secure."""
        body = await read_body(request, "payment_intent", "succeeds")
        identifier, succeeds = body.get("payment_intent"), body.get("succeeds", True)
        if not isinstance(identifier, str) or not isinstance(succeeds, bool):
            raise ControlRefusal('Give "payment_intent" as its id, "succeeds" as true or false.')
        with self._books.transaction():
            scope, intent = self._get_intent(identifier)
            now = int(self._books.clock())
            call = Call(self._books, scope, "POST", request.path, (), {}, now, API_VERSION)
            try:
                complete_authentication(call, intent, succeeded=succeeds)
            except StripeError as error:
                raise ControlRefusal(str(error)) from None
        return web.json_response(intent.body)

    async def refund(self, request: web.Request) -> web.Response:
        """POST stripe/refunds: refund a succeeded payment intent, fully or in part."""
        body = await read_body(request, "payment_intent", "amount")
        with self._books.transaction():
            scope, charge = self._get_charge(body.get("payment_intent"))
            refundable = charge.body["amount"] - charge.body["amount_refunded"]
            amount = body.get("amount", refundable)
            if type(amount) is not int or not 0 < amount <= refundable:
                raise ControlRefusal(f'Give "amount" as a whole number from 1 to {refundable}.')
            refund = self._create(scope, charge, "refund", "re", amount, "succeeded")
            charge.body["amount_refunded"] += amount
            charge.body["refunded"] = charge.body["amount_refunded"] == charge.body["amount"]
            self._books.update(charge)
        return web.json_response(refund.body, status=201)

    async def dispute(self, request: web.Request) -> web.Response:
        """POST stripe/disputes: dispute a payment intent, or set its dispute's status."""
        body = await read_body(request, "payment_intent", "status")
        status = read_choice(body.get("status", "needs_response"), "status", _DISPUTE_STATUSES)
        with self._books.transaction():
            scope, charge = self._get_charge(body.get("payment_intent"))
            dispute_id = charge.private.get("dispute")
            dispute = self._books.find(scope, "dispute", dispute_id) if dispute_id else None
            if dispute is None:
                amount = charge.body["amount"]
                dispute = self._create(scope, charge, "dispute", "dp", amount, status)
                charge.private["dispute"] = dispute.id
                charge.body["disputed"] = True
                self._books.update(charge)
            else:
                dispute.body["status"] = status
                self._books.update(dispute)
        return web.json_response(dispute.body, status=201)

    def _get_intent(self, identifier: object) -> tuple[Scope, Record]:
        found = self._books.find_in_any_scope("payment_intent", str(identifier))
        if found is None:
            raise ControlRefusal(f"There is no payment intent {identifier}.")
        return found

    def _get_charge(self, intent_id: object) -> tuple[Scope, Record]:
        scope, intent = self._get_intent(intent_id)
        charge = self._books.find(scope, "charge", str(intent.body["latest_charge"]))
        if charge is None or not charge.body["paid"]:
            raise ControlRefusal(f"The payment intent {intent.id} has no charge that succeeded.")
        return scope, charge

    def _create(
        self, scope: Scope, charge: Record, kind: str, prefix: str, amount: int, status: str
    ) -> Record:
        body: dict[str, Any] = {
            "id": generate_id(prefix),
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
        record = Record(kind, body)
        self._books.add(scope, record)
        return record


def summarize_account(books: Books, scope: Scope, limit: int) -> dict[str, Any]:
    """Return the account's objects, newest first, and the sum of its succeeded charges."""
    kinds: dict[str, Any] = {}
    for kind in ("customer", "payment_method", "payment_intent", "charge"):
        records, has_more = books.list_page(scope, kind, PageQuery(limit=limit))
        kinds[f"{kind}s"] = [record.body for record in records]
        kinds[f"more_{kind}s"] = has_more
    taken: defaultdict[str, int] = defaultdict(int)
    for charge in kinds["charges"]:
        if charge["status"] == "succeeded":
            taken[charge["currency"]] += charge["amount"]
    return {
        "account": scope.account,
        "livemode": scope.livemode,
        **kinds,
        "taken": taken,
        "idempotency_keys": books.list_idempotency_keys(scope, limit),
    }
