"""Stripe's control endpoints: keys, 3D Secure, and what the dashboard, issuers and time do.

A status is moved as the tables in `sandbox.stripe.refunds` and `sandbox.stripe.disputes` allow.
"""

from __future__ import annotations

import contextlib
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Any, Final

from aiohttp import web

from sandbox.books import Books, KeyRecord, PageQuery, Record, Scope, hash_key
from sandbox.control.requests import (
    ControlRefusal,
    Route,
    read_body,
    read_boolean,
    read_choice,
    read_count,
)
from sandbox.stripe import disputes, refunds
from sandbox.stripe.amounts import AMOUNT_MAX, CURRENCIES
from sandbox.stripe.api import API_VERSION
from sandbox.stripe.calls import Call
from sandbox.stripe.confirmation import complete_authentication
from sandbox.stripe.errors import StripeError
from sandbox.stripe.keys import get_account, is_account, is_secret_key
from sandbox.stripe.payment_intents import cancel
from sandbox.stripe.resources import generate_id
from sandbox.stripe.setup_intents import complete_setup_authentication

_LAST4: Final = re.compile(r"[0-9]{4}")
_CANCELLATION_REASONS: Final = (
    # docs.stripe.com/api/payment_intents/object#payment_intent_object-cancellation_reason
    "abandoned",
    "automatic",
    "duplicate",
    "expired",
    "fraudulent",
    "requested_by_customer",
)


class StripeControl:
    """Handles the endpoints that act on Stripe's accounts."""

    def __init__(self, books: Books) -> None:
        self._books = books

    def routes(self) -> list[Route]:
        """Return the method, path and handler of each endpoint."""
        return [
            ("POST", "/_sandbox/keys", self.register_key),
            ("POST", "/_sandbox/authentications", self.authenticate_cardholder),
            ("POST", "/_sandbox/stripe/cards", self.renew_card),
            ("POST", "/_sandbox/stripe/cancellations", self.cancel_intent),
            ("POST", "/_sandbox/stripe/refunds", self.refund),
            ("POST", "/_sandbox/stripe/refunds/{id}", self.move_refund),
            ("POST", "/_sandbox/stripe/disputes", self.dispute),
            ("POST", "/_sandbox/stripe/disputes/{id}", self.move_dispute),
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
        """POST authentications: the cardholder passes 3D Secure, fails it, or never comes."""
        body = await read_body(request, "payment_intent", "setup_intent", "succeeds", "expires")
        if "succeeds" in body and "expires" in body:
            raise ControlRefusal('Give "succeeds" or "expires", not both.')
        succeeds = read_boolean(body.get("succeeds", True), "succeeds")
        expires = read_boolean(body.get("expires", False), "expires")
        if "setup_intent" in body:
            with self._change():
                call, intent = self._find("setup_intent", body["setup_intent"])
                complete_setup_authentication(call, intent, succeeded=succeeds and not expires)
            return web.json_response(intent.body)
        with self._change():
            call, intent = self._find("payment_intent", body.get("payment_intent"))
            if expires and intent.body["status"] != "requires_action":
                raise ControlRefusal(
                    f"The payment intent is {intent.body['status']}: only one that "
                    "requires_action expires."
                )
            if expires:
                cancel(call, intent, "expired")
            else:
                complete_authentication(call, intent, succeeded=succeeds)
        return web.json_response(intent.body)

    async def renew_card(self, request: web.Request) -> web.Response:
        """POST stripe/cards: the issuer renews a card, which Stripe's account updater notices."""
        body = await read_body(request, "payment_method", "exp_month", "exp_year", "last4")
        last4 = body.get("last4")
        if not isinstance(last4, str) or not _LAST4.fullmatch(last4):
            raise ControlRefusal('Give "last4" as four digits.')
        month = read_count(body.get("exp_month"), "exp_month", 12)
        year = read_count(body.get("exp_year"), "exp_year", 2100)
        with self._change():
            call, method = self._find("payment_method", body.get("payment_method"))
            method.body["card"] |= {
                "last4": last4,
                "exp_month": month,
                "exp_year": year,
                "fingerprint": generate_id("fingerprint"),
            }
            call.books.update(method)
        return web.json_response(method.body)

    async def cancel_intent(self, request: web.Request) -> web.Response:
        """POST stripe/cancellations: cancel a payment intent that has not been captured."""
        body = await read_body(request, "payment_intent", "reason")
        reason = _read_optional(body, "reason", _CANCELLATION_REASONS)
        with self._change():
            call, intent = self._find("payment_intent", body.get("payment_intent"))
            cancel(call, intent, reason)
        return web.json_response(intent.body)

    async def refund(self, request: web.Request) -> web.Response:
        """POST stripe/refunds: refund a succeeded payment intent, fully or in part."""
        body = await read_body(request, "payment_intent", "amount", "status", "reason", "metadata")
        status = read_choice(body.get("status", "succeeded"), "status", refunds.NEW_STATUSES)
        reason = _read_optional(body, "reason", refunds.REASONS)
        amount, metadata = _read_amount(body), _read_metadata(body)
        with self._change():
            call, charge = self._find_charge(body.get("payment_intent"))
            refund = refunds.add_refund(
                call, charge, amount=amount, status=status, reason=reason, metadata=metadata
            )
        return web.json_response(refund.body, status=201)

    async def move_refund(self, request: web.Request) -> web.Response:
        """POST stripe/refunds/ID: the refund succeeds, fails or is canceled."""
        body = await read_body(request, "status", "failure_reason")
        failure = _read_optional(body, "failure_reason", refunds.FAILURE_REASONS)
        with self._change():
            call, refund = self._find("refund", request.match_info["id"])
            status = _read_next_status(body, refund, refunds.MOVES)
            refunds.move_refund(call, refund, status, failure_reason=failure)
        return web.json_response(refund.body)

    async def dispute(self, request: web.Request) -> web.Response:
        """POST stripe/disputes: open a dispute or an inquiry on a succeeded payment intent."""
        known = ("payment_intent", "status", "amount", "currency", "reason", "metadata")
        body = await read_body(request, *known)
        status = read_choice(body.get("status", "needs_response"), "status", disputes.NEW_STATUSES)
        reason = read_choice(body.get("reason", "general"), "reason", disputes.REASONS)
        currency = _read_optional(body, "currency", CURRENCIES)
        amount, metadata = _read_amount(body), _read_metadata(body)
        with self._change():
            call, charge = self._find_charge(body.get("payment_intent"))
            _refuse_second_dispute(call, charge)
            dispute = disputes.add_dispute(
                call,
                charge,
                status=status,
                amount=amount or charge.body["amount_captured"] - charge.body["amount_refunded"],
                currency=currency or charge.body["currency"],
                reason=reason,
                metadata=metadata,
            )
        return web.json_response(dispute.body, status=201)

    async def move_dispute(self, request: web.Request) -> web.Response:
        """POST stripe/disputes/ID: the dispute escalates, is answered, closed or reversed."""
        body = await read_body(request, "status")
        with self._change():
            call, dispute = self._find("dispute", request.match_info["id"])
            disputes.move_dispute(call, dispute, _read_next_status(body, dispute, disputes.MOVES))
        return web.json_response(dispute.body)

    @contextlib.contextmanager
    def _change(self) -> Iterator[None]:
        """Commit the block's writes; Stripe's errors become refusals."""
        try:
            with self._books.transaction():
                yield
        except StripeError as error:
            raise ControlRefusal(str(error)) from None

    def _find(self, kind: str, identifier: object) -> tuple[Call, Record]:
        """Return the object of any account, and a call of its account."""
        name = kind.replace("_", " ")
        if not isinstance(identifier, str) or not identifier:
            raise ControlRefusal(f'Give "{kind}" as the id of a {name}.')
        found = self._books.find_in_any_scope(kind, identifier)
        if found is None:
            raise ControlRefusal(f"There is no {name} {identifier}.")
        scope, record = found
        now = int(self._books.clock())
        return Call(self._books, scope, "POST", "/", (), {}, now, API_VERSION), record

    def _find_charge(self, intent_id: object) -> tuple[Call, Record]:
        call, intent = self._find("payment_intent", intent_id)
        charge = self._books.find(call.scope, "charge", str(intent.body["latest_charge"]))
        if charge is None or not charge.body["captured"]:
            raise ControlRefusal(f"The payment intent {intent.id} has no captured charge.")
        return call, charge


def _refuse_second_dispute(call: Call, charge: Record) -> None:
    """Refuse a dispute of a refunded charge, and one beside another that is open or lost."""
    newest = disputes.find_newest_dispute(call, charge)
    if newest is not None and newest.body["status"] not in ("won", "warning_closed"):
        raise ControlRefusal(
            f"The charge has the dispute {newest.id}, which is {newest.body['status']}: POST "
            f'{{"status": …}} to /_sandbox/stripe/disputes/{newest.id} instead.'
        )
    if charge.body["refunded"]:
        raise ControlRefusal("The charge is refunded: issuers take no dispute of it.")


def _read_next_status(
    body: dict[str, Any], record: Record, moves: Mapping[str, tuple[str, ...]]
) -> str:
    current = record.body["status"]
    if not moves[current]:
        raise ControlRefusal(f"The {record.kind} {record.id} is {current}, which is final.")
    if body.get("status") not in moves[current]:
        raise ControlRefusal(
            f'Give "status" as one of {", ".join(moves[current])}: the {record.kind} is {current}.'
        )
    return str(body["status"])


def _read_optional(body: dict[str, Any], name: str, choices: tuple[str, ...]) -> str | None:
    return read_choice(body[name], name, choices) if body.get(name) is not None else None


def _read_amount(body: dict[str, Any]) -> int | None:
    """Return the amount in minor units, None if it is absent."""
    amount = body.get("amount")
    return None if amount is None else read_count(amount, "amount", AMOUNT_MAX)


def _read_metadata(body: dict[str, Any]) -> dict[str, str]:
    metadata = body.get("metadata", {})
    if not isinstance(metadata, dict) or not all(
        isinstance(each, str) for each in metadata.values()
    ):
        raise ControlRefusal('Give "metadata" as an object of texts.')
    return metadata


def summarize_account(books: Books, scope: Scope, limit: int) -> dict[str, Any]:
    """Return the account's objects, newest first, and what remains of its succeeded charges."""
    kinds: dict[str, Any] = {}
    for kind in (
        "customer",
        "payment_method",
        "payment_intent",
        "setup_intent",
        "charge",
        "refund",
        "dispute",
    ):
        records, has_more = books.list_page(scope, kind, PageQuery(limit=limit))
        kinds[f"{kind}s"] = [record.body for record in records]
        kinds[f"more_{kind}s"] = has_more
    taken: defaultdict[str, int] = defaultdict(int)
    for charge in kinds["charges"]:
        if charge["captured"]:
            taken[charge["currency"]] += charge["amount_captured"] - charge["amount_refunded"]
    for dispute in kinds["disputes"]:
        for transaction in dispute["balance_transactions"]:
            taken[transaction["currency"]] += transaction["amount"]
    return {
        "account": scope.account,
        "livemode": scope.livemode,
        **kinds,
        "taken": taken,
        "idempotency_keys": books.list_idempotency_keys(scope, limit),
    }
