"""Builds the JSON of Stripe's objects, with every field that the SDK's types expect.

Field names and types follow Stripe's OpenAPI description (github.com/stripe/openapi). Amounts are
whole minor units, times Unix seconds. Pure, but for random ids.
"""

from __future__ import annotations

import secrets
import string
from collections.abc import Mapping
from typing import Any, Final

from sandbox.books import Json
from sandbox.stripe.cards import Decline, Scenario, TestCard

_ALPHABET: Final = string.ascii_letters + string.digits
_NO_ADDRESS: Final[Json] = {
    "city": None,
    "country": None,
    "line1": None,
    "line2": None,
    "postal_code": None,
    "state": None,
}
_NO_BILLING_DETAILS: Final[Json] = {
    "address": _NO_ADDRESS,
    "email": None,
    "name": None,
    "phone": None,
    "tax_id": None,
}


def generate_id(prefix: str) -> str:
    """Return a new id in Stripe's form, such as `pi_3…`."""
    lengths = {"cus": 14, "req": 14}
    return f"{prefix}_{_random_text(lengths.get(prefix, 24))}"


def _random_text(characters: int) -> str:
    return "".join(secrets.choice(_ALPHABET) for _ in range(characters))


def build_customer(params: Mapping[str, Any], *, livemode: bool, created: int) -> Json:
    """Return a new customer."""
    copied = {name: params.get(name) for name in ("address", "description", "email", "name")}
    settings = params.get("invoice_settings") or {}
    return {
        "id": generate_id("cus"),
        "object": "customer",
        **copied,
        "address": {**_NO_ADDRESS, **params["address"]} if params.get("address") else None,
        "balance": params.get("balance") or 0,
        "created": created,
        "currency": None,
        "default_source": None,
        "delinquent": False,
        "discount": None,
        "invoice_prefix": _random_text(8).upper(),
        "invoice_settings": {
            "custom_fields": None,
            "default_payment_method": settings.get("default_payment_method"),
            "footer": None,
            "rendering_options": None,
        },
        "livemode": livemode,
        "metadata": params.get("metadata", {}),
        "next_invoice_sequence": 1,
        "phone": params.get("phone"),
        "preferred_locales": params.get("preferred_locales") or [],
        "shipping": params.get("shipping"),
        "tax_exempt": params.get("tax_exempt") or "none",
        "test_clock": None,
    }


def build_payment_method(
    card: TestCard,
    scenario: Scenario,
    params: Mapping[str, Any],
    *,
    expiry: tuple[int, int],
    cvc_given: bool,
    livemode: bool,
    created: int,
) -> Json:
    """Return a new card PaymentMethod; `expiry` is (year, month)."""
    billing = params.get("billing_details") or {}
    year, month = expiry
    return {
        "id": generate_id("pm"),
        "object": "payment_method",
        "allow_redisplay": params.get("allow_redisplay") or "unspecified",
        "billing_details": {
            **_NO_BILLING_DETAILS,
            **billing,
            "address": {**_NO_ADDRESS, **(billing.get("address") or {})},
        },
        "card": {
            "brand": card.brand,
            "checks": {
                "address_line1_check": None,
                "address_postal_code_check": None,
                "cvc_check": scenario.cvc_check if cvc_given else None,
            },
            "country": card.country,
            "display_brand": card.brand,
            "exp_month": month,
            "exp_year": year,
            "fingerprint": card.fingerprint,
            "funding": card.funding,
            "generated_from": None,
            "last4": card.last4,
            "networks": {"available": [card.brand], "preferred": None},
            "regulated_status": "unregulated",
            "three_d_secure_usage": {"supported": card.brand != "diners"},
            "wallet": None,
        },
        "created": created,
        "customer": None,
        "customer_account": None,
        "livemode": livemode,
        "metadata": params.get("metadata", {}),
        "type": "card",
    }


def build_payment_intent(params: Mapping[str, Any], *, livemode: bool, created: int) -> Json:
    """Return a new PaymentIntent, not confirmed."""
    identifier = generate_id("pi")
    allowed_types = params.get("allowed_payment_method_types")
    named_types = params.get("payment_method_types") or allowed_types
    automatic = params.get("automatic_payment_methods") or {}
    automatic_methods = None
    if not named_types and automatic.get("enabled", True):
        automatic_methods = {
            "allow_redirects": automatic.get("allow_redirects") or "always",
            "enabled": True,
        }
    return {
        "id": identifier,
        "object": "payment_intent",
        "allowed_payment_method_types": allowed_types,
        "amount": params["amount"],
        "amount_capturable": 0,
        "amount_details": {"tip": {}},
        "amount_received": 0,
        "application": None,
        "application_fee_amount": None,
        "automatic_payment_methods": automatic_methods,
        "canceled_at": None,
        "cancellation_reason": None,
        "capture_method": params.get("capture_method") or "automatic_async",
        "client_secret": f"{identifier}_secret_{_random_text(25)}",
        "confirmation_method": params.get("confirmation_method") or "automatic",
        "created": created,
        "currency": params["currency"],
        "customer": params.get("customer"),
        "customer_account": None,
        "description": params.get("description"),
        "excluded_payment_method_types": None,
        "hooks": None,
        "last_payment_error": None,
        "latest_charge": None,
        "livemode": livemode,
        "managed_payments": {"enabled": False},
        "metadata": params.get("metadata", {}),
        "next_action": None,
        "on_behalf_of": None,
        "payment_details": None,
        "payment_method": params.get("payment_method"),
        "payment_method_configuration_details": None,
        "payment_method_options": {
            "card": {
                "installments": None,
                "mandate_options": None,
                "network": None,
                "request_three_d_secure": "automatic",
            }
        },
        "payment_method_types": named_types or ["card"],
        "presentment_details": None,
        "processing": None,
        "receipt_email": params.get("receipt_email"),
        "review": None,
        "setup_future_usage": params.get("setup_future_usage"),
        "shipping": params.get("shipping"),
        "source": None,
        "statement_descriptor": params.get("statement_descriptor"),
        "statement_descriptor_suffix": params.get("statement_descriptor_suffix"),
        "status": "requires_payment_method",
        "transfer_data": None,
        "transfer_group": None,
    }


def build_setup_intent(params: Mapping[str, Any], *, livemode: bool, created: int) -> Json:
    """Return a new SetupIntent, not confirmed."""
    identifier = generate_id("seti")
    return {
        "id": identifier,
        "object": "setup_intent",
        "allowed_payment_method_types": params.get("allowed_payment_method_types"),
        "application": None,
        "automatic_payment_methods": None,
        "cancellation_reason": None,
        "client_secret": f"{identifier}_secret_{_random_text(25)}",
        "created": created,
        "customer": params.get("customer"),
        "customer_account": None,
        "description": params.get("description"),
        "excluded_payment_method_types": None,
        "flow_directions": None,
        "last_setup_error": None,
        "latest_attempt": None,
        "livemode": livemode,
        "managed_payments": {"enabled": False},
        "mandate": None,
        "metadata": params.get("metadata", {}),
        "next_action": None,
        "on_behalf_of": None,
        "payment_method": params.get("payment_method"),
        "payment_method_configuration_details": None,
        "payment_method_options": {
            "card": {
                "mandate_options": None,
                "network": None,
                "request_three_d_secure": "automatic",
            }
        },
        "payment_method_types": ["card"],
        "single_use_mandate": None,
        "status": "requires_payment_method",
        "usage": params.get("usage") or "off_session",
    }


def build_charge(intent: Json, method: Json, decline: Decline | None, *, created: int) -> Json:
    """Return a charge of the intent's amount: failed with `decline`, or succeeded for None."""
    identifier = generate_id("ch")
    paid = decline is None
    captured = paid and intent["capture_method"] != "manual"
    amount: int = intent["amount"]
    return {
        "id": identifier,
        "object": "charge",
        "amount": amount,
        "amount_captured": amount if captured else 0,
        "amount_refunded": 0,
        "application": None,
        "application_fee": None,
        "application_fee_amount": None,
        "balance_transaction": generate_id("txn") if captured else None,
        "billing_details": method["billing_details"],
        "calculated_statement_descriptor": "SANDBOX",
        "captured": captured,
        "created": created,
        "currency": intent["currency"],
        "customer": intent["customer"],
        "description": intent["description"],
        "disputed": False,
        "failure_balance_transaction": None,
        "failure_code": decline.code if decline else None,
        "failure_message": decline.message if decline else None,
        "fraud_details": {},
        "livemode": intent["livemode"],
        "metadata": intent["metadata"],
        "on_behalf_of": None,
        "outcome": _build_outcome(decline),
        "paid": paid,
        "payment_intent": intent["id"],
        "payment_method": method["id"],
        "payment_method_details": {
            "card": _build_charged_card(method, amount, paid),
            "type": "card",
        },
        "receipt_email": intent["receipt_email"],
        "receipt_number": None,
        "receipt_url": f"https://pay.stripe.com/receipts/payment/{identifier}" if paid else None,
        "refunded": False,
        "review": None,
        "shipping": intent["shipping"],
        "source": None,
        "source_transfer": None,
        "statement_descriptor": intent["statement_descriptor"],
        "statement_descriptor_suffix": intent["statement_descriptor_suffix"],
        "status": "succeeded" if paid else "failed",
        "transfer_data": None,
        "transfer_group": None,
    }


def _build_outcome(decline: Decline | None) -> Json:
    """Return a charge's outcome (docs.stripe.com/api/charges/object#charge_object-outcome)."""
    outcome: Json = {
        "advice_code": None,
        "network_advice_code": None,
        "network_decline_code": None,
        "network_status": "approved_by_network",
        "reason": None,
        "risk_level": "normal",
        "risk_score": 20,
        "seller_message": "Payment complete.",
        "type": "authorized",
    }
    if decline is None:
        return outcome
    reason = decline.decline_code or decline.code
    if decline.blocked_by_radar:
        return outcome | {
            "network_status": "not_sent_to_network",
            "reason": "highest_risk_level",
            "risk_level": "highest",
            "risk_score": 95,
            "seller_message": "Stripe blocked this payment as too risky.",
            "type": "blocked",
        }
    message = (
        "The bank did not return any further details with this decline."
        if reason == "generic_decline"
        else f"The bank returned the decline code `{reason}`."
    )
    return outcome | {
        "network_status": "declined_by_network",
        "reason": reason,
        "seller_message": message,
        "type": "issuer_declined",
    }


def _build_charged_card(method: Json, amount: int, paid: bool) -> Json:
    card = method["card"]
    copied = ("brand", "country", "exp_month", "exp_year", "fingerprint", "funding", "last4")
    return {
        **{name: card[name] for name in copied},
        "amount_authorized": amount if paid else None,
        "authorization_code": _random_text(6).upper() if paid else None,
        "checks": card["checks"],
        "extended_authorization": {"status": "disabled"},
        "incremental_authorization": {"status": "unavailable"},
        "installments": None,
        "mandate": None,
        "multicapture": {"status": "unavailable"},
        "network": card["brand"],
        "network_token": {"used": False},
        "network_transaction_id": _random_text(15) if paid else None,
        "overcapture": {"maximum_amount_capturable": amount, "status": "unavailable"},
        "regulated_status": "unregulated",
        "three_d_secure": None,
        "transaction_link_id": None,
        "wallet": None,
    }


def build_page(objects: list[Json], *, has_more: bool, url: str) -> Json:
    """Return a page of a list."""
    return {"object": "list", "data": objects, "has_more": has_more, "url": url}
