"""Stripe: connection errors and unexpected responses."""

import asyncio
import datetime
import logging
import ssl
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from core.gateways import connections
from core.gateways.events import Fact, FactKind
from core.gateways.gateway import (
    Account,
    ChargeOutcome,
    Declined,
    GatewayRefund,
    GatewayRefused,
    GatewayUnavailable,
    NotSent,
    RefundOutcome,
    RefundRefused,
    RequiresAction,
    Succeeded,
    Unknown,
)
from core.gateways.stripe import gateway as stripe_module
from core.gateways.stripe.gateway import StripeGateway
from core.money import Amount
from tests.core.gateways.running import (
    INTENTS,
    SHOP,
    a_charge,
    charge_with,
    closed_port,
    gateway_at,
    logged,
    new_customer,
    serving,
)
from tests.sandbox.running import Sandbox

# --- Nothing was sent ------------------------------------------------------------------------


async def test_every_call_to_a_gateway_that_is_down_is_unavailable() -> None:
    async with gateway_at(f"http://127.0.0.1:{closed_port()}") as down:
        assert isinstance(await down.charge(SHOP, a_charge()), NotSent)
        with pytest.raises(GatewayUnavailable):
            await down.look_up_charge(SHOP, a_charge())
        with pytest.raises(GatewayUnavailable):
            await down.create_customer(SHOP, user_id="U", name="A", email="a@b.de", gateway_key="k")


async def test_nothing_is_sent_to_a_server_without_tls(sandbox: Sandbox) -> None:
    async with gateway_at(sandbox.url.replace("http:", "https:")) as insecure:
        assert isinstance(await insecure.charge(SHOP, a_charge()), NotSent)


async def test_nothing_is_sent_to_a_server_with_an_untrusted_certificate(tmp_path: Path) -> None:
    server_side = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server_side.load_cert_chain(self_signed(tmp_path))
    reached: list[str] = []

    async def answer(request: web.Request) -> web.Response:
        reached.append(request.path)
        return web.json_response({})

    async with serving(answer, server_side) as url, gateway_at(url) as untrusting:
        assert isinstance(await untrusting.charge(SHOP, a_charge()), NotSent)
    assert reached == []


def self_signed(directory: Path) -> Path:
    """Write a key and a self-signed certificate for localhost into one file."""
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.datetime.now(datetime.UTC)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    path = directory / "server.pem"
    path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        + certificate.public_bytes(serialization.Encoding.PEM)
    )
    return path


# --- Unexpected responses --------------------------------------------------------------------

GOOD_INTENT = {
    "id": "pi_1",
    "object": "payment_intent",
    "amount": 2550,
    "currency": "usd",
    "customer": "cus_1",
    "status": "succeeded",
    "client_secret": "pi_1_secret_2",
    "metadata": {"payment_id": "PAY-0"},
}
ODD_ANSWERS: list[tuple[str, int, Any]] = [
    ("another amount", 200, GOOD_INTENT | {"amount": 2551}),
    ("another currency", 200, GOOD_INTENT | {"currency": "eur"}),
    ("another customer", 200, GOOD_INTENT | {"customer": "cus_2"}),
    ("another payment", 200, GOOD_INTENT | {"metadata": {"payment_id": "PAY-1"}}),
    ("no metadata", 200, GOOD_INTENT | {"metadata": None}),
    ("another object", 200, GOOD_INTENT | {"object": "charge"}),
    ("no id", 200, {name: value for name, value in GOOD_INTENT.items() if name != "id"}),
    ("a status of tomorrow", 200, GOOD_INTENT | {"status": "pondering"}),
    ("processing", 200, GOOD_INTENT | {"status": "processing"}),
    ("requires_confirmation", 200, GOOD_INTENT | {"status": "requires_confirmation"}),
    ("failed, not why", 200, GOOD_INTENT | {"status": "requires_payment_method"}),
    ("no secret", 200, GOOD_INTENT | {"status": "requires_action", "client_secret": None}),
    ("an empty object", 200, {}),
    ("a list", 200, [GOOD_INTENT]),
    ("null", 200, None),
    ("no JSON", 200, "<html>maintenance</html>"),
    ("no JSON, 502", 502, "<html>bad gateway</html>"),
    ("no JSON, 403", 403, "<html>forbidden</html>"),
    ("no error object", 400, {"sorry": True}),
    ("an error of another shape", 500, {"error": [1]}),
    ("an OAuth error", 400, {"error": "invalid_grant"}),
    ("a decline of another payment", 402, {
        "error": {"type": "card_error", "code": "card_declined", "payment_intent": {"id": "pi_2"}}
    }),
]  # fmt: skip


@pytest.mark.parametrize(("status", "body"), [case[1:] for case in ODD_ANSWERS], ids=str)
async def test_a_response_that_does_not_match_the_charge_is_unknown(status: int, body: Any) -> None:
    async def answer(_request: web.Request) -> web.Response:
        if isinstance(body, str):
            return web.Response(status=status, text=body, content_type="text/html")
        return web.json_response(body, status=status)

    async with serving(answer) as url, gateway_at(url) as gateway:
        outcome = await gateway.charge(SHOP, a_charge(payment_id="PAY-0"))
    assert isinstance(outcome, Unknown)


@pytest.mark.parametrize(
    ("changes", "outcome"),
    [
        ({}, Succeeded("pi_1")),
        ({"customer": {"id": "cus_1", "object": "customer"}}, Succeeded("pi_1")),
        ({"status": "requires_action"}, RequiresAction("pi_1", "pi_1_secret_2")),
        (
            {"status": "canceled"},
            Declined("pi_1", "canceled", "The payment was canceled at Stripe."),
        ),
    ],
)
async def test_a_matching_intent_decides_the_outcome(changes: Any, outcome: ChargeOutcome) -> None:
    async def answer(_request: web.Request) -> web.Response:
        return web.json_response(GOOD_INTENT | changes)

    async with serving(answer) as url, gateway_at(url) as gateway:
        assert await gateway.charge(SHOP, a_charge(payment_id="PAY-0")) == outcome


async def test_a_key_in_use_is_resent_after_a_pause() -> None:
    asked: list[float] = []

    async def answer(_request: web.Request) -> web.Response:
        asked.append(asyncio.get_running_loop().time())
        if len(asked) == 1:
            error = {"type": "invalid_request_error", "code": "idempotency_key_in_use"}
            return web.json_response({"error": error}, status=409)
        return web.json_response(GOOD_INTENT)

    async with serving(answer) as url, gateway_at(url, timeout_seconds=2) as gateway:
        assert await gateway.charge(SHOP, a_charge(payment_id="PAY-0")) == Succeeded("pi_1")
    assert asked[1] - asked[0] >= 2 * stripe_module.IN_USE_PAUSE_SHARE


SHOWN_REFUND = {
    "id": "re_1",
    "object": "refund",
    "amount": 1000,
    "currency": "usd",
    "status": "succeeded",
    "metadata": {"nivisco_refund_id": "REF-1"},
}

REFUSED_REFUND = RefundRefused("charge_already_refunded", "The payment was refunded before.")


@pytest.mark.parametrize(
    ("listed", "outcome"),
    [
        ([SHOWN_REFUND], Fact(FactKind.REFUND, 1000, "usd", "re_1")),
        ([], REFUSED_REFUND),
        (None, Unknown("Stripe refused the refund, and does not show whether it made it.")),
    ],
)
async def test_a_refund_whose_resend_is_refused_is_looked_up(
    listed: list[Any] | None, outcome: RefundOutcome
) -> None:
    sent: list[str | None] = []

    async def answer(request: web.Request) -> web.Response:
        if request.method == "GET":
            return web.json_response({"object": "list", "data": listed})
        sent.append(request.headers.get("Idempotency-Key"))
        if len(sent) == 1:
            assert request.transport is not None
            request.transport.close()
            return web.Response()
        error = {"code": "charge_already_refunded"}
        return web.json_response({"error": error}, status=400)

    refund = GatewayRefund(
        refund_id="REF-1",
        gateway_key="k",
        payment_id="PAY-0",
        transaction_id="pi_1",
        customer_id="cus_1",
        amount=Amount(1000, "usd"),
        is_whole=False,
        reason=None,
        created_at=datetime.datetime.now(datetime.UTC),
        may_have_been_sent=False,
    )
    async with serving(answer) as url, gateway_at(url) as gateway:
        assert await gateway.refund(SHOP, refund) == outcome
    assert sent == ["k", "k"]


async def test_a_decline_without_an_intent_is_a_decline() -> None:
    async def answer(_request: web.Request) -> web.Response:
        error = {"type": "card_error", "code": "expired_card", "message": "Your card has expired."}
        return web.json_response({"error": error}, status=402)

    async with serving(answer) as url, gateway_at(url) as gateway:
        outcome = await gateway.charge(SHOP, a_charge())
    assert outcome == Declined(None, "expired_card", "Your card has expired.")


async def test_of_two_intents_of_one_payment_the_charged_one_counts(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def answer(_request: web.Request) -> web.Response:
        failed = GOOD_INTENT | {"id": "pi_0", "status": "canceled"}
        return web.json_response({"object": "list", "data": [failed, GOOD_INTENT]})

    async with serving(answer) as url, gateway_at(url) as gateway:
        found = await gateway.look_up_charge(SHOP, a_charge(payment_id="PAY-0"))
    assert found == Succeeded("pi_1")
    assert logged(caplog, "payment_intents") == [2]
    assert logged(caplog, "payment_id") == ["PAY-0"]


async def test_requests_of_two_merchants_share_no_headers() -> None:
    seen: list[dict[str, str]] = []

    async def answer(request: web.Request) -> web.Response:
        seen.append(dict(request.headers))
        response = web.json_response(GOOD_INTENT)
        response.set_cookie("merchant", "one")
        return response

    async with serving(answer) as url, gateway_at(url) as gateway:
        charge = a_charge(payment_id="PAY-0")
        await gateway.charge(replace(SHOP, account_id="acct_1"), charge)
        await gateway.charge(Account("TEST", "sk_test_shop2_a"), charge)
    first, second = seen
    assert first["Authorization"] == "Bearer sk_test_shop1_a"
    assert first["Stripe-Account"] == "acct_1"
    assert first["Idempotency-Key"] == charge.gateway_key
    assert "Stripe-Account" not in second
    assert "Cookie" not in second
    assert "X-Stripe-Client-Telemetry" not in second


# --- Secrets, connections --------------------------------------------------------------------


async def test_no_secret_is_logged_or_raised(
    sandbox: Sandbox, gateway: StripeGateway, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    await gateway.charge(SHOP, await charge_with(sandbox, "pm_card_authenticationRequired"))
    await gateway.charge(SHOP, await charge_with(sandbox, "pm_card_chargeCustomerFail"))
    await sandbox.schedule_fault("cut_body", match=INTENTS)
    await gateway.charge(SHOP, await charge_with(sandbox))
    with pytest.raises(GatewayRefused) as refused:
        await gateway.look_up_charge(replace(SHOP, account_id="acct_other"), a_charge())
    assert refused.value.__cause__ is refused.value.__context__ is None
    secrets = {intent["client_secret"] for intent in (await sandbox.books())["payment_intents"]}
    assert len(secrets) == 3
    for secret in (SHOP.secret_key, *secrets):
        assert secret not in caplog.text


async def test_only_the_last_used_clients_are_kept(
    sandbox: Sandbox, gateway: StripeGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "ACCOUNTS_MAX", 2)
    shops = [Account("TEST", f"sk_test_shop{number}_a") for number in range(3)]
    kept = gateway._client(shops[0])
    for shop in (shops[1], shops[0], shops[2]):
        gateway._client(shop)
    assert list(gateway._clients) == [shops[0], shops[2]]
    assert gateway._client(shops[0]) is kept


async def test_a_closed_gateway_can_connect_again(sandbox: Sandbox) -> None:
    async with gateway_at(sandbox.url) as gateway:
        await new_customer(gateway)
        await gateway.close()
        assert await new_customer(gateway)
        await gateway.close()
