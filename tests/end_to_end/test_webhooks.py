"""The gateways' webhooks through the adapter have the same result in any order and repetition."""

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator
from datetime import timedelta
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select

from adapter.webhooks import MAX_WEBHOOK_BYTES
from core.database.schema import (
    payments,
    postings,
    wallets,
    webhook_events,
)
from core.database.transactions import Database, Transaction
from core.idempotency.service import UNKEYED_LIFE
from core.payments.attempt_store import end_attempt
from core.payments.rules import PaymentUpdate
from core.payments.store import Payment, insert_payment
from nivisco.internal.v1 import operator_pb2
from rpc.metadata import Credentials
from tests.core.running import OPERATOR_TOKEN, call
from tests.end_to_end.running import JsonClient, Stack, new_user, running_stack
from tests.end_to_end.signing import (
    SIGNATURE_KEY,
    STRIPE_SECRET,
    Delivery,
    authorize_event,
    stripe_event,
    stripe_signature,
)

AMOUNT = 1000
NOW = 1_769_000_000


@pytest.fixture
async def stack(tmp_path: Path, postgresql_database: str) -> AsyncIterator[Stack]:
    async with running_stack(tmp_path, postgresql_database) as running:
        yield running


@pytest.fixture
async def database(postgresql_database: str) -> AsyncIterator[Database]:
    opened = Database(postgresql_database)
    yield opened
    await opened.close()


async def new_business(stack: Stack, name: str) -> JsonClient:
    """Register a business with keys and webhook secrets of both gateways."""
    made = await stack.admin.call(
        "register_business",
        new_business={
            "name": name,
            "email": f"o@{name}.example.com",
            "domain": f"{name}.example.com",
        },
    )
    client = stack.admin.as_business(made.body["business_id"], made.body["api_key"])
    for action, keys in (
        (
            "add_stripe_credentials",
            {
                "stripe_secret_key": f"sk_test_{name}_a",
                "stripe_public_key": "pk_test_fake",
                "stripe_webhook_secret": STRIPE_SECRET,
            },
        ),
        (
            "add_authorize_credentials",
            {
                "api_login_id": f"login{name}",
                "transaction_key": "0123456789abcdef",
                "signature_key": SIGNATURE_KEY,
            },
        ),
    ):
        response = await client.call(action, credentials={"env": "TEST"} | keys)
        assert response.status == 200, response.text
    return client


async def deliver(client: JsonClient, delivery: Delivery, **headers: str) -> tuple[int, str]:
    path = f"/webhooks/{delivery.gateway}/{client.business_id}"
    async with client.session.post(
        client.url + path, data=BytesIO(delivery.body), headers=headers or delivery.headers()
    ) as response:
        return response.status, await response.text()


async def deliver_all(client: JsonClient, deliveries: list[Delivery], at_once: int) -> None:
    bound = asyncio.Semaphore(at_once)

    async def one(delivery: Delivery) -> None:
        async with bound:
            status, text = await deliver(client, delivery)
            assert status == 200, text

    await asyncio.gather(*(one(each) for each in deliveries))


async def add_payment(
    database: Database,
    client: JsonClient,
    user_id: str,
    number: int,
    gateway: str,
    status: str,
    kind: str,
) -> str:
    """Insert the row of a payment after its charge."""
    payment_id = f"PAY-{client.business_id[:6].upper()}{number:010}"
    async with database.transaction() as transaction:
        payment = Payment(
            business_id=client.business_id,
            payment_id=payment_id,
            user_id=user_id,
            env="TEST",
            gateway=gateway,
            kind=kind,
            amount_minor=AMOUNT,
            currency="usd",
            description=None,
            idempotency_key=None,
            customer_id="1",
            gateway_card_id="1",
            gateway_key=f"k/{number}",
            status="pending",
            attempt="running",
            lease=None,
            joinable=False,
            checks=0,
            transaction_id=None,
            decline_code=None,
            answered=True,
            created_at=transaction.now,
            updated_at=transaction.now,
        )
        from dataclasses import replace

        from core.payments.store import Lease

        await insert_payment(
            transaction, replace(payment, lease=Lease("nobody", transaction.now + UNKEYED_LIFE))
        )
        settled = (
            PaymentUpdate("pending", attempt="unknown", check_after=timedelta(days=1))
            if status == "pending"
            else PaymentUpdate(status, transaction_id=transaction_of(gateway, client, number))
        )
        await end_attempt(transaction, payment, settled, answered=status != "pending")
    return payment_id


def transaction_of(gateway: str, client: JsonClient, number: int) -> str:
    digits = int(client.business_id[:6], 16) * 1000 + number
    return f"pi_{digits}" if gateway == "stripe" else str(60_000_000_000 + digits)


def events_of(client: JsonClient, payment_id: str, number: int, gateway: str) -> list[Delivery]:
    """Return a gateway's events of one payment in order."""
    rng = random.Random(number)  # noqa: S311 - a repeatable mix
    transaction_id = transaction_of(gateway, client, number)
    if gateway == "authorize":
        given = {"invoiceNumber": payment_id, "authAmount": AMOUNT / 100, "responseCode": 1}
        kinds = rng.choice(
            (
                ["authcapture.created"],
                ["fraud.held", "fraud.approved"],
                ["fraud.held", "fraud.declined"],
            )
        )
        return [
            authorize_event(f"n-{number}-{step}", kind, step, transaction_id, **given)
            for step, kind in enumerate(kinds)
        ]
    metadata = {"nivisco_payment_id": payment_id}
    intent = {"id": transaction_id, "object": "payment_intent", "currency": "usd"}
    charge = {"payment_intent": transaction_id, "currency": "usd"}

    def event(step: int, kind: str, **thing: Any) -> Delivery:
        return stripe_event(f"evt_{number}_{step}", kind, NOW + step, **thing)

    failed = event(
        0,
        "payment_intent.payment_failed",
        **intent,
        metadata=metadata,
        last_payment_error={"decline_code": "insufficient_funds", "message": "No."},
    )
    succeeded = event(
        1, "payment_intent.succeeded", **intent, metadata=metadata, amount_received=AMOUNT
    )
    refunds = [
        event(2, "charge.refunded", id="ch", **charge, amount_refunded=300),
        event(3, "refund.created", id=f"re_{number}", **charge, amount=300, status="succeeded"),
        event(4, "charge.refunded", id="ch", **charge, amount_refunded=rng.choice((600, 1000))),
    ]
    disputed = event(5, "charge.dispute.created", id=f"dp_{number}", **charge, amount=AMOUNT)
    closed = event(
        6,
        "charge.dispute.closed",
        id=f"dp_{number}",
        **charge,
        amount=AMOUNT,
        status=rng.choice(("won", "lost")),
    )
    refund = {"id": f"re_{number}", **charge, "amount": 400}
    failed_refund = [
        event(2, "refund.created", **refund, status="pending"),
        event(3, "charge.refunded", id="ch", **charge, amount_refunded=400),
        event(4, "refund.failed", **refund, status="failed"),
    ]
    dispute = {"id": f"dp_{number}", **charge, "amount": AMOUNT}
    won_after_lost = [
        event(2, "charge.dispute.created", **dispute, status="warning_needs_response"),
        event(3, "charge.dispute.funds_withdrawn", **dispute, status="needs_response"),
        event(4, "charge.dispute.closed", **dispute, status="lost"),
        event(5, "charge.dispute.closed", **dispute, status="won"),
    ]
    unknown = event(7, "customer.updated", id="cus_1")
    return rng.choice(
        (
            [failed],
            [failed, succeeded, unknown],
            [succeeded, *refunds],
            [succeeded, disputed],
            [succeeded, disputed, closed],
            [succeeded, *refunds[:1], disputed, closed],
            [succeeded, *failed_refund],
            [succeeded, *won_after_lost],
        )
    )


async def ends(database: Database, client: JsonClient, users: list[str]) -> dict[str, Any]:
    """Return the final state of a business's payments, wallets and ledger."""
    of_business = client.business_id

    async def rows(transaction: Transaction, query: Any) -> list[tuple[Any, ...]]:
        return [tuple(row) for row in await transaction.connection.execute(query)]

    async with database.transaction() as transaction:
        payment_rows = await rows(
            transaction,
            select(
                func.substr(payments.c.payment_id, 11),
                payments.c.status,
                payments.c.decline_code,
                payments.c.amount_refunded_minor,
            )
            .where(payments.c.business_id == of_business)
            .order_by(payments.c.payment_id),
        )
        held = await rows(
            transaction,
            select(wallets.c.user_id, wallets.c.wallet_id, wallets.c.balance_minor).where(
                wallets.c.business_id == of_business
            ),
        )
        moved = await rows(
            transaction,
            select(postings.c.account, func.sum(postings.c.amount_minor))
            .where(postings.c.business_id == of_business)
            .group_by(postings.c.account),
        )
        states = await rows(
            transaction,
            select(webhook_events.c.state, func.count())
            .where(webhook_events.c.business_id == of_business)
            .group_by(webhook_events.c.state),
        )
    owners = {wallet_id: users.index(user_id) for user_id, wallet_id, _ in held}
    return {
        "payments": payment_rows,
        "wallets": {users.index(user_id): balance for user_id, _, balance in held},
        "ledger": {str(owners.get(account, account)): int(total) for account, total in moved},
        "events": dict(states),
    }


async def test_a_thousand_deliveries_in_any_order_have_the_result_of_their_order(
    stack: Stack, database: Database
) -> None:
    count, rng = 100, random.Random(1)  # noqa: S311 - a repeatable mix
    businesses = [await new_business(stack, "inorder"), await new_business(stack, "shuffled")]
    users = [[await new_user(client) for _ in range(8)] for client in businesses]
    events: list[list[list[Delivery]]] = [[], []]
    for which, client in enumerate(businesses):
        for number in range(count):
            gateway = ("stripe", "authorize")[number % 2]
            status = ("pending", "requires_action", "pending", "held_for_review")[number % 4]
            kind = "fund" if number % 5 else "charge"
            payment_id = await add_payment(
                database, client, users[which][number % 8], number, gateway, status, kind
            )
            events[which].append(events_of(client, payment_id, number, gateway))

    async def deliver_in_order(steps: list[Delivery]) -> None:
        await deliver_all(businesses[0], steps, at_once=1)

    for first in range(0, count, 10):
        await asyncio.gather(*(deliver_in_order(steps) for steps in events[0][first : first + 10]))

    shuffled = [delivery for steps in events[1] for delivery in steps]
    shuffled += rng.choices(shuffled, k=1000 - len(shuffled))
    rng.shuffle(shuffled)
    await deliver_all(businesses[1], shuffled, at_once=12)

    in_order, in_any = [
        await ends(database, client, of_business)
        for client, of_business in zip(businesses, users, strict=True)
    ]
    assert in_any == in_order
    statuses = Counter(status for _, status, _, _ in in_order["payments"])
    assert statuses.keys() >= {"succeeded", "declined", "disputed", "refunded"}
    report = await call(
        stack.core, Credentials(service_token=OPERATOR_TOKEN), operator_pb2.ExamineRequest()
    )
    broken = operator_pb2.CHECK_VERDICT_BROKEN
    assert [each for each in report.checks if each.verdict == broken] == []
    assert len(report.checks) > 10


async def test_only_signed_webhooks_are_accepted_and_all_errors_are_alike(
    stack: Stack, database: Database
) -> None:
    client = await new_business(stack, "careful")
    event = stripe_event("evt_1", "invoice.paid", NOW, id="in_1")
    now = float(event.headers()["Stripe-Signature"].partition(",")[0].removeprefix("t="))
    good = stripe_signature(event.body, now)
    several = f"{good.partition(',')[0]},v1={'0' * 64},{good.partition(',')[2]}"
    unknown = client.as_business("00000000-0000-0000-0000-000000000000", "")
    errors = {
        await deliver(client, event, **{"Stripe-Signature": signature})
        for signature in (
            stripe_signature(event.body, now, "whsec_other"),
            stripe_signature(event.body + b" ", now),
            good.replace("v1=", "v0="),
            "t=,v1=",
            "junk",
            "é",
        )
    }
    errors.add(await deliver(client, event, Other="none"))
    errors.add(await deliver(unknown, event))
    errors.add(await deliver(client, Delivery("authorize", b"{}"), **{"X-ANET-Signature": "x"}))
    assert len(errors) == 1
    assert errors.pop()[0] == 400
    for signed_at, direction in ((now - 600, "before"), (now + 600, "after")):
        status, text = await deliver(client, event, **event.headers(signed_at))
        assert status == 400
        assert f"its time is 10 minutes {direction} ours: check the clock" in text
    assert (await deliver(client, Delivery("stripe", b" " * (MAX_WEBHOOK_BYTES + 1))))[0] == 413
    async with database.transaction() as transaction:
        query = select(func.count()).select_from(webhook_events)
        assert await transaction.connection.scalar(query) == 0
    accepted = (200, '{"received":true}')
    for gateway, body in (("stripe", b"[" * 5000), ("stripe", b"{}"), ("authorize", b"\xff\x00")):
        assert await deliver(client, Delivery(gateway, body)) == accepted
    for _ in range(2):
        assert await deliver(client, event, **{"Stripe-Signature": several}) == accepted
    lower = authorize_event("n", "void.created", 1, "6001", invoiceNumber="PAY-1")
    header = lower.headers()["X-ANET-Signature"]
    assert (await deliver(client, lower, **{"X-ANET-Signature": header.lower()}))[0] == 200
    async with client.session.get(f"{client.url}/webhooks/stripe/{client.business_id}") as response:
        assert response.status == 405
    async with database.transaction() as transaction:
        assert await transaction.connection.scalar(query) == 2


@pytest.mark.parametrize("size", [65_537, MAX_WEBHOOK_BYTES])
async def test_an_event_of_up_to_1_mib_is_accepted(stack: Stack, size: int) -> None:
    client = await new_business(stack, f"large{size}")
    short = stripe_event("evt_large", "charge.updated", NOW, id="ch_1", description="")
    text = "x" * (size - len(short.body))
    event = stripe_event("evt_large", "charge.updated", NOW, id="ch_1", description=text)
    assert len(event.body) == size
    assert await deliver(client, event) == (200, '{"received":true}')


@pytest.mark.parametrize("gateway", ["stripe", "authorize"])
async def test_a_webhook_url_may_end_with_a_slash(stack: Stack, gateway: str) -> None:
    client = await new_business(stack, f"slash{gateway}")
    event = {
        "stripe": stripe_event("evt_1", "invoice.paid", NOW, id="in_1"),
        "authorize": authorize_event("n", "void.created", 1, "6001", invoiceNumber="PAY-1"),
    }[gateway]
    slashed = client.as_business(f"{client.business_id}/", client.api_key)
    assert await deliver(slashed, event) == (200, '{"received":true}')


async def test_a_customer_who_authenticates_has_their_wallet_credited_once(
    stack: Stack, database: Database
) -> None:
    """The response of the idempotency key stays; the record has the new status."""
    client = await new_business(stack, "threed")
    user_id = await new_user(client)
    await client.call(
        "create_stripe_customer",
        user_id=user_id,
        payment_method_token="pm_card_authenticationRequired",
    )
    asked = {"user_id": user_id, "amount": 12.5, "idempotency_key": "k"}
    first = await client.call("fund_customer", **asked)
    assert first.status == 402, first.text
    intent = first.body["transaction_id"]
    [record] = (await client.call("get_payment_records")).body["payments"]
    done = stripe_event(
        "evt_s",
        "payment_intent.succeeded",
        NOW,
        id=intent,
        currency="usd",
        amount_received=1250,
        metadata={"nivisco_payment_id": record["payment_id"]},
    )
    refunded = stripe_event(
        "evt_r",
        "charge.refunded",
        NOW + 1,
        id="ch",
        payment_intent=intent,
        currency="usd",
        amount_refunded=450,
    )
    await deliver_all(client, [refunded, done, done, refunded], at_once=4)
    wallet = (await client.call("get_user_wallet", user_id=user_id)).body["wallet"]
    assert wallet["balance"] == 8
    [record] = (await client.call("get_payment_records", status="partially_refunded")).body[
        "payments"
    ]
    assert (record["amount"], record["amount_refunded"]) == (12.5, 4.5)
    assert (record["gateway"], record["env"], record["user_id"]) == ("stripe", "TEST", user_id)
    again = await client.call("fund_customer", **asked)
    assert (first.status, again.status) == (402, 200)
    assert again.body["transaction_id"] == intent

    await client.call("charge_wallet", user_id=user_id, amount=7)
    lost = stripe_event(
        "evt_d",
        "charge.dispute.closed",
        NOW + 2,
        id="dp",
        payment_intent=intent,
        currency="usd",
        amount=1250,
        status="lost",
    )
    await deliver_all(client, [lost], at_once=1)
    assert (await client.call("get_user_wallet", user_id=user_id)).body["wallet"]["balance"] == 0
    history = (await client.call("get_wallet_history", user_id=user_id)).body["transactions"]
    assert [(each["reason"], each["amount"]) for each in history[:2]] == [
        ("dispute", 8),
        ("receivable", 7),
    ]
    ledger = (await ends(database, client, [user_id]))["ledger"]
    assert ledger["receivables:TEST:usd"] == -700
    assert ledger["funding:TEST:usd"] == 0
