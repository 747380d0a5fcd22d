"""Looks at a payment end: none is repeated at once or for ever, and none that is needed is lost."""

from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select, update

from core.database.schema import payments, webhook_events
from core.database.transactions import Database
from core.errors import Refusal
from core.gateways.events import Fact, FactKind
from core.gateways.gateway import GatewayUnknown, ObjectKind
from core.gateways.stripe.gateway import StripeGateway
from core.payments import store
from tests.core.payments.running_service import running_service
from tests.core.running import Gateway, ShiftedClock
from tests.core.webhooks.receiving import Hooks, hooks_of
from tests.databases import fresh_sqlite
from tests.end_to_end.signing import authorize_event, stripe_event


async def test_a_refund_that_the_account_does_not_have_is_not_read_at_once_again(
    tmp_path: Path, gateway: Gateway
) -> None:
    clock = ShiftedClock()
    database = Database(fresh_sqlite(tmp_path / "nivisco.db"), clock)
    async with running_service(database, clock, gateway, "authorize") as shop:
        await shop.fund()
        charge = (await shop.payment()).transaction_id
        assert charge is not None
        await gateway.authorize("transactions", transaction=charge, status="settledSuccessfully")
        refund = await gateway.control("authorize/refunds", transaction=charge)
        created = authorize_event("n1", "refund.created", 1, refund["id"], authAmount=50.0)
        await shop.webhooks.receive(
            business_id=shop.caller.business_id,
            gateway="authorize",
            body=created.body,
            signature=next(iter(created.headers().values())),
        )
        assert ((await shop.payment()).status, await shop.balance()) == ("refunded", 0)
        async with database.transaction() as transaction:
            rows = await transaction.connection.execute(select(webhook_events.c.fact))
            (fact,) = [row.fact for row in rows]
            await transaction.connection.execute(
                update(webhook_events).values(fact=fact.replace(refund["id"], "999999"))
            )
        await shop.later(days=4)
        payment = await shop.payment()
        assert payment.look_at is None or payment.look_at > clock.now()
        for _ in range(30):
            await shop.later(days=1)
        assert (await shop.payment()).look_at is None


async def test_an_event_does_not_undo_a_cancellation(tmp_path: Path, gateway: Gateway) -> None:
    clock = ShiftedClock()
    database = Database(fresh_sqlite(tmp_path / "nivisco.db"), clock)
    async with running_service(database, clock, gateway, card="pm_card_chargeCustomerFail") as shop:
        with pytest.raises(Refusal):
            await shop.fund()
        payment = await shop.payment()
        async with database.transaction() as transaction:
            await store.cancel_payments(transaction, payment.business_id, [payment.payment_id])
        hooks = Hooks(shop, str(payment.transaction_id))
        failed: dict[str, Any] = {"code": "card_declined", "decline_code": "generic_decline"}
        await hooks.send_body(
            stripe_event(
                "evt_1",
                "payment_intent.payment_failed",
                int(clock.now().timestamp()),
                id=hooks.intent,
                last_payment_error=failed,
            ).body
        )
        assert (await shop.payment()).look_at is not None
        await shop.later(minutes=1)
        (books,) = await gateway.books()
        assert [each["status"] for each in books["payment_intents"]] == ["canceled"]
        assert (await shop.payment()).look_at is None


async def test_looks_before_an_outcome_do_not_use_up_those_at_refunds(
    tmp_path: Path, gateway: Gateway
) -> None:
    clock = ShiftedClock()
    database = Database(fresh_sqlite(tmp_path / "nivisco.db"), clock)
    async with running_service(
        database, clock, gateway, card="pm_card_authenticationRequired"
    ) as shop:
        with pytest.raises(Refusal, match="must authenticate"):
            await shop.fund()
        intent = str((await shop.payment()).transaction_id)
        for _ in range(22):
            await shop.later(hours=1)
        await gateway.control("authentications", payment_intent=intent)
        await shop.later(hours=1)
        hooks = Hooks(shop, intent)
        assert await hooks.state() == ("succeeded", 0, 5000)
        refund = await gateway.control("stripe/refunds", payment_intent=intent, status="pending")
        await gateway.control(f"stripe/refunds/{refund['id']}", status="failed")
        same = {"id": refund["id"], "amount": 5000}
        await hooks.send("evt_1", "refund.failed", 1, **same, status="failed")
        await hooks.send("evt_2", "refund.updated", 2, **same, status="succeeded")
        assert await hooks.state() == ("refunded", 5000, 0)
        await shop.later(minutes=1)
        assert await hooks.state() == ("succeeded", 0, 5000)
        assert (await shop.payment()).look_at is None


async def test_an_intent_of_another_amount_is_reported_once_and_not_asked_for_ever(
    tmp_path: Path, gateway: Gateway, caplog: pytest.LogCaptureFixture
) -> None:
    clock = ShiftedClock()
    database = Database(fresh_sqlite(tmp_path / "nivisco.db"), clock)
    async with running_service(
        database, clock, gateway, card="pm_card_authenticationRequired"
    ) as shop:
        with pytest.raises(Refusal, match="must authenticate"):
            await shop.fund()
        intent = str((await shop.payment()).transaction_id)
        await gateway.control("authentications", payment_intent=intent)
        async with database.transaction() as transaction:
            await transaction.connection.execute(update(payments).values(amount_minor=4000))
        for _ in range(10):
            await shop.later(days=1)
        assert await shop.balance() == 0
        payment = await shop.payment()
        assert (payment.status, payment.look_at) == ("requires_action", None)
        assert len([each for each in caplog.records if "contradicts" in each.message]) == 1


async def test_an_object_in_an_unknown_state_does_not_keep_others_from_being_read(
    tmp_path: Path, gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = ShiftedClock()
    database = Database(fresh_sqlite(tmp_path / "nivisco.db"), clock)
    async with running_service(database, clock, gateway) as shop:
        hooks = await hooks_of(shop)

        async def read(_: object, __: object, ___: ObjectKind, object_id: str) -> Fact:
            if object_id == "re_1":
                raise GatewayUnknown("in a state that is not known")
            return Fact(FactKind.REFUND_FAILED, 2000, "usd", object_id)

        monkeypatch.setattr(StripeGateway, "read_state", read)
        for refund in ("re_1", "re_2"):
            same = {"id": refund, "amount": 2000}
            await hooks.send(f"{refund}_1", "refund.failed", 1, **same, status="failed")
            await hooks.send(f"{refund}_2", "refund.updated", 2, **same, status="succeeded")
        assert await hooks.state() == ("partially_refunded", 4000, 1000)
        await shop.later(minutes=1)
        assert await hooks.state() == ("partially_refunded", 2000, 3000)
        assert (await shop.payment()).look_at is not None
