"""An answer that is wrong in any way never makes a charge count as succeeded, at either gateway."""

from typing import Any

import pytest
from aiohttp import web

from core.gateways.gateway import ChargeOutcome, GatewayCharge, Succeeded, Unknown
from tests.core.gateways import running as stripe
from tests.core.gateways import running_authorize as authorize
from tests.core.gateways.test_contract import AUTHORIZE, STRIPE, Contract, a_charge, charged_at

MEGABYTES = 10 * 1024 * 1024
STRIPE_CHANGES: tuple[dict[str, Any], ...] = (
    {"amount": 1},
    {"amount": None},
    {"amount": "2550"},
    {"amount": [2550]},
    {"currency": "eur"},
    {"currency": None},
    {"id": 7},
    {"id": None},
    {"object": "charge"},
    {"customer": "cus_of_another"},
    {"metadata": {}},
    {"metadata": "text"},
    {"metadata": {"nivisco_payment_id": "PAY-OF-ANOTHER"}},
    {"status": ["succeeded"]},
    {"status": "Succeeded"},
)
AUTHORIZE_CHANGES: tuple[dict[str, Any], ...] = (
    {"reference": "PAY-OF-ANOTHER"},
    {"reference": ""},
    {"prePaidCard": [("requestedAmount", "25.50"), ("approvedAmount", "1.00")]},
    {"prePaidCard": [("approvedAmount", "much")]},
    {"profile": [("customerProfileId", "1"), ("customerPaymentProfileId", "2")]},
    {"responseCode": "one"},
    {"responseCode": ""},
    {"transId": ""},
    {"transId": "0"},
)


def stripe_body(charge: GatewayCharge, **changes: Any) -> dict[str, Any]:
    return {
        "id": "pi_1",
        "object": "payment_intent",
        "amount": charge.amount.minor,
        "currency": charge.amount.currency,
        "customer": charge.customer_id,
        "status": "succeeded",
        "metadata": {"nivisco_payment_id": charge.payment_id},
        **changes,
    }


async def outcome_at_stripe(**changes: Any) -> ChargeOutcome:
    charge = stripe.a_charge()

    async def answer(_request: web.Request) -> web.Response:
        return web.json_response(stripe_body(charge, **changes))

    return await charged_at(STRIPE, answer, charge)


async def test_a_right_answer_of_stripe_succeeds() -> None:
    assert isinstance(await outcome_at_stripe(), Succeeded)


@pytest.mark.parametrize("changes", STRIPE_CHANGES, ids=str)
async def test_an_answer_of_stripe_with_a_wrong_field_is_unknown(changes: dict[str, Any]) -> None:
    assert isinstance(await outcome_at_stripe(**changes), Unknown)


async def outcome_at_authorize(reference: str | None = None, **changes: Any) -> ChargeOutcome:
    charge = authorize.a_charge()

    async def answer(_request: web.Request) -> web.Response:
        return authorize.transaction_answer(charge, reference=reference, **changes)

    return await charged_at(AUTHORIZE, answer, charge)


async def test_a_right_answer_of_authorize_net_succeeds() -> None:
    assert isinstance(await outcome_at_authorize(), Succeeded)


@pytest.mark.parametrize("changes", AUTHORIZE_CHANGES, ids=str)
async def test_an_answer_of_authorize_net_with_a_wrong_field_is_no_success(
    changes: dict[str, Any],
) -> None:
    assert not isinstance(await outcome_at_authorize(**changes), Succeeded)


@pytest.mark.parametrize(
    "body", [[], "succeeded", 1, None, [stripe_body(stripe.a_charge())]], ids=str
)
async def test_an_answer_of_stripe_that_is_no_object_is_unknown(body: Any) -> None:
    async def answer(_request: web.Request) -> web.Response:
        return web.json_response(body)

    assert isinstance(await charged_at(STRIPE, answer, stripe.a_charge()), Unknown)


@pytest.mark.parametrize("contract", [STRIPE, AUTHORIZE], ids=lambda each: str(each.name))
async def test_a_redirect_is_not_followed(contract: Contract) -> None:
    paths, charge = list[str](), a_charge(contract)

    async def answer(request: web.Request) -> web.Response:
        paths.append(request.path)
        if request.path == "/elsewhere":
            return web.json_response(stripe_body(charge))
        return web.Response(status=302, headers={"Location": "/elsewhere"})

    outcome = await charged_at(contract, answer, charge)
    assert not isinstance(outcome, Succeeded)
    assert "/elsewhere" not in paths


@pytest.mark.parametrize("contract", [STRIPE, AUTHORIZE], ids=lambda each: str(each.name))
async def test_ten_megabytes_are_unknown(contract: Contract) -> None:
    async def answer(_request: web.Request) -> web.Response:
        return web.Response(body=b" " * MEGABYTES, content_type="application/json")

    assert isinstance(await charged_at(contract, answer, a_charge(contract)), Unknown)
