"""A payment whose gateway never decides it needs a person, whatever the reason; never a failure."""

from collections.abc import AsyncIterator

import pytest
from sqlalchemy import delete

from core.database.schema import authorize_credentials, stripe_credentials
from core.database.transactions import Database
from core.errors import Refusal
from core.gateways.authorize.gateway import AuthorizeGateway
from core.gateways.gateway import (
    ChargeOutcome,
    GatewayError,
    GatewayRefused,
    GatewayUnavailable,
    GatewayUnknown,
    ListTooLong,
    Unknown,
)
from core.gateways.stripe.gateway import StripeGateway
from core.idempotency.call import Replay
from tests.core.payments.running_service import STRIPE_KEY, RunningService, running_service
from tests.core.running import Gateway, ShiftedClock
from tests.core.webhooks.receiving import Hooks
from tests.end_to_end.signing import stripe_event

REVIEW_HOURS = {"stripe": 26, "authorize": 8}


@pytest.fixture(params=["stripe", "authorize"])
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
async def shop(database_url: str, gateway: Gateway, name: str) -> AsyncIterator[RunningService]:
    clock = ShiftedClock()
    async with running_service(Database(database_url, clock), clock, gateway, name) as running:
        yield running


async def leave_unknown(shop: RunningService, monkeypatch: pytest.MonkeyPatch) -> None:
    """Fund with a key while each call to the gateway is lost."""

    async def lost(*_: object) -> ChargeOutcome:
        return Unknown("lost")

    for kind in (StripeGateway, AuthorizeGateway):
        monkeypatch.setattr(kind, "charge", lost)
    with pytest.raises(Refusal, match="not known yet"):
        await shop.fund(shop.call("one"))


def show(monkeypatch: pytest.MonkeyPatch, found: ChargeOutcome | GatewayError | None) -> None:
    """Have each look-up return or raise this."""

    async def look_up(*_: object) -> ChargeOutcome | None:
        if isinstance(found, GatewayError):
            raise found
        return found

    for kind in (StripeGateway, AuthorizeGateway):
        monkeypatch.setattr(kind, "look_up_charge", look_up)


async def assert_needs_review(shop: RunningService, name: str) -> None:
    """Assert that the payment is pending until the gateway's time has passed, and not after it."""
    await shop.later(hours=REVIEW_HOURS[name] - 0.1)
    assert (await shop.payment()).status == "pending"
    await shop.later(hours=1.2)
    payment = await shop.payment()
    assert (payment.status, payment.look_at) == ("needs_review", None)
    with pytest.raises(Refusal, match="never told the outcome"):
        await shop.fund(shop.call("one"))


@pytest.mark.parametrize(
    "found",
    [
        None,
        Unknown("the gateway's payment differs from the charge"),
        GatewayRefused("the gateway does not know the keys"),
        ListTooLong("the charge is not in the first 1000 transactions"),
    ],
    ids=["nothing", "another charge", "revoked keys", "endless list"],
)
async def test_a_look_up_that_decides_nothing_ends_in_a_review(
    shop: RunningService,
    name: str,
    monkeypatch: pytest.MonkeyPatch,
    found: ChargeOutcome | GatewayError | None,
) -> None:
    await leave_unknown(shop, monkeypatch)
    show(monkeypatch, found)
    await assert_needs_review(shop, name)


@pytest.mark.parametrize("error", [GatewayUnavailable("away"), GatewayUnknown("no answer")])
async def test_an_outage_never_ends_in_a_review(
    shop: RunningService, name: str, monkeypatch: pytest.MonkeyPatch, error: GatewayError
) -> None:
    await leave_unknown(shop, monkeypatch)
    show(monkeypatch, error)
    for _ in range(3):
        await shop.later(hours=2 * REVIEW_HOURS[name])
        assert (await shop.payment()).status == "pending"


async def deleted(shop: RunningService, name: str) -> None:
    table = {"stripe": stripe_credentials, "authorize": authorize_credentials}[name]
    async with shop.database.transaction() as transaction:
        await transaction.connection.execute(delete(table))


async def test_deleted_keys_end_in_a_review(
    shop: RunningService, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    await leave_unknown(shop, monkeypatch)
    await deleted(shop, name)
    await assert_needs_review(shop, name)


async def test_an_unknown_charge_without_keys_is_answered_as_unknown(
    shop: RunningService, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    await leave_unknown(shop, monkeypatch)
    await deleted(shop, name)
    with pytest.raises(Refusal, match="not known yet"):
        await shop.fund(shop.call("one"))


@pytest.mark.parametrize("name", ["stripe"], indirect=True)
async def test_keys_that_are_revoked_at_the_gateway_end_in_a_review(
    shop: RunningService, gateway: Gateway, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    await leave_unknown(shop, monkeypatch)
    await gateway.revoke(STRIPE_KEY)
    await assert_needs_review(shop, name)


async def tell(shop: RunningService, kind: str) -> None:
    """Deliver an event about the payment's intent."""
    shown = {
        "id": "pi_1",
        "metadata": {"nivisco_payment_id": (await shop.payment()).payment_id},
        "last_payment_error": {"code": "card_declined", "message": "No."},
    }
    created = int(shop.clock.now().timestamp())
    event = stripe_event("evt_1", f"payment_intent.{kind}", created, **shown)
    await Hooks(shop, "pi_1").send_body(event.body)


@pytest.mark.parametrize("name", ["stripe"], indirect=True)
async def test_a_decline_that_comes_after_the_review_began_answers_the_key(
    shop: RunningService, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    await leave_unknown(shop, monkeypatch)
    show(monkeypatch, None)
    await assert_needs_review(shop, name)
    await tell(shop, "payment_failed")
    with pytest.raises(Replay) as replay:
        await shop.fund(shop.call("one"))
    assert replay.value.answer.status().message == "No."
    assert (await shop.payment()).status == "declined"


@pytest.mark.parametrize("name", ["stripe"], indirect=True)
async def test_an_authentication_without_its_secret_is_not_charged_again(
    shop: RunningService, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    await leave_unknown(shop, monkeypatch)
    show(monkeypatch, None)
    await assert_needs_review(shop, name)
    await tell(shop, "requires_action")
    with pytest.raises(Refusal, match="will not be charged again"):
        await shop.fund(shop.call("one"))
    assert (await shop.payment()).status == "requires_action"
