"""Stored cards follow what the gateways tell of them, in any order and however often."""

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import aiohttp
import pytest
from sqlalchemy import select

from core.cards import store
from core.database.schema import webhook_events
from core.database.transactions import Database
from core.due_work.rules import pause_after
from tests.core.payments.running_service import LOGIN, STRIPE_KEY, RunningService, running_service
from tests.core.recurring.running import ON_SQLITE
from tests.core.running import Gateway, ShiftedClock
from tests.end_to_end.signing import Delivery
from tests.sandbox.authorize.running import KEY, PATH, build_request

pytestmark = ON_SQLITE
UPDATED = {
    "stripe": ("payment_method.automatically_updated", "customer.source.updated"),
    "authorize": ("net.authorize.customer.paymentProfile.updated",) * 2,
}
REMOVED = {
    "stripe": "payment_method.detached",
    "authorize": "net.authorize.customer.paymentProfile.deleted",
}


@dataclass
class Followed:
    """A card of the service's user, and what happens to it at the gateway."""

    running: RunningService
    name: str
    card: store.Card
    events: int = 0

    async def cards(self) -> list[store.Card]:
        """Return the user's cards."""
        running = self.running
        async with running.database.read() as transaction:
            return await store.cards_of_user(
                transaction,
                business_id=running.caller.business_id,
                user_id=running.user_id,
                env="TEST",
            )

    async def send(self, kind: str, card_id: object = None, event_id: str = "") -> None:
        """Deliver an event about the card."""
        self.events += 1
        event_id, card_id = event_id or f"evt_{self.events}", card_id or self.card.gateway_card_id
        if self.name == "stripe":
            event: dict[str, Any] = {"id": event_id, "type": kind, "livemode": False}
            event["data"] = {"object": {"id": card_id, "customer": None}}
        else:
            payload = {"customerProfileId": 1, "entityName": "customerPaymentProfile"}
            event = {"notificationId": event_id, "eventType": kind}
            event["payload"] = payload | {"id": card_id}
        delivery = Delivery(self.name, json.dumps(event).encode())
        now = self.running.clock.now().timestamp()
        (signature,) = delivery.headers(now).values()
        await self.running.webhooks.receive(
            business_id=self.running.caller.business_id,
            gateway=self.name,
            body=delivery.body,
            signature=signature,
        )

    async def renew(self, year: int) -> None:
        """Change the card at the gateway."""
        if self.name == "stripe":
            renewed = {"exp_month": 6, "exp_year": year, "last4": "1881"}
            method = {"payment_method": self.card.gateway_card_id}
            await self.running.gateway.control("stripe/cards", **method, **renewed)
        else:
            number = f"<cardNumber>XXXX1111</cardNumber><expirationDate>{year}-06</expirationDate>"
            await self.authorize(
                "updateCustomerPaymentProfileRequest",
                f"<paymentProfile><payment><creditCard>{number}</creditCard></payment>"
                f"<customerPaymentProfileId>{self.card.gateway_card_id}"
                "</customerPaymentProfileId></paymentProfile>",
            )

    async def remove(self) -> None:
        """Remove the card at the gateway."""
        if self.name == "stripe":
            url = f"{self.running.gateway.url}/v1/payment_methods/{self.card.gateway_card_id}"
            headers = {"Authorization": f"Bearer {STRIPE_KEY}"}
            async with (
                aiohttp.ClientSession() as session,
                session.post(f"{url}/detach", headers=headers) as response,
            ):
                assert response.status == 200
        else:
            card = self.card.gateway_card_id
            inner = f"<customerPaymentProfileId>{card}</customerPaymentProfileId>"
            await self.authorize("deleteCustomerPaymentProfileRequest", inner)

    async def authorize(self, request: str, inner: str) -> None:
        """Send a request about the card's customer to Authorize.Net."""
        customer = f"<customerProfileId>{self.card.customer_id}</customerProfileId>"
        body = build_request(request, customer + inner, LOGIN, KEY)
        async with (
            aiohttp.ClientSession() as session,
            session.post(self.running.gateway.url + PATH, data=body) as response,
        ):
            assert "<resultCode>Ok</resultCode>" in (text := await response.text()), text

    async def fault(self, kind: str) -> None:
        """Have the next reads of the card meet a fault."""
        gateway = self.running.gateway
        if self.name == "stripe":
            await gateway.fault(kind, "/v1/payment_methods/*", times=2, method="GET")
        else:
            await gateway.authorize_fault(kind, "getCustomerPaymentProfile")

    async def removed_at(self) -> datetime:
        """Return when the card was removed."""
        async with self.running.database.read() as transaction:
            found = await store.removed_among(
                transaction,
                business_id=self.running.caller.business_id,
                env="TEST",
                gateway=self.name,
                gateway_card_ids=[self.card.gateway_card_id],
            )
        removal = found[self.card.gateway_card_id]
        assert removal.card.card_id == self.card.card_id
        return removal.removed_at

    async def states(self) -> set[str]:
        """Return the states of the stored events."""
        async with self.running.database.read() as transaction:
            rows = await transaction.connection.execute(select(webhook_events.c.state))
            return {row.state for row in rows}


@pytest.fixture(params=["stripe", "authorize"])
async def followed(
    request: pytest.FixtureRequest, database_url: str, gateway: Gateway
) -> AsyncIterator[Followed]:
    clock = ShiftedClock()
    database = Database(database_url, clock)
    async with running_service(database, clock, gateway, request.param) as running:
        made = Followed(running, request.param, None)  # type: ignore[arg-type] # set below
        (made.card,) = await made.cards()
        yield made


async def test_a_changed_card_is_stored_as_the_gateway_has_it_and_a_removed_one_is_removed(
    followed: Followed,
) -> None:
    kinds = UPDATED[followed.name]
    for year, kind in zip((2061, 2062), kinds, strict=True):
        await followed.renew(year)
        await followed.send(kind)
        (card,) = await followed.cards()
        last4 = "1881" if followed.name == "stripe" else "1111"
        assert (card.exp_month, card.exp_year, card.last4) == (6, year, last4)
        assert (card.card_id, card.is_primary) == (followed.card.card_id, True)
    await followed.send(REMOVED[followed.name])  # not true, or not yet
    assert len(await followed.cards()) == 1
    await followed.remove()
    await followed.send(kinds[0])  # overtakes the removal
    assert len(await followed.cards()) == 1
    for event_id in ("removed", "removed", "again"):
        await followed.send(REMOVED[followed.name], event_id=event_id)
        assert await followed.cards() == []
    assert await followed.removed_at()
    assert await followed.states() == {"ignored"}


async def test_a_removed_card_is_removed_from_the_last_event_on(followed: Followed) -> None:
    await followed.remove()
    await followed.send(REMOVED[followed.name])
    first = await followed.removed_at()
    followed.running.clock.ahead += timedelta(seconds=1)
    await followed.send(UPDATED[followed.name][0])
    assert await followed.removed_at() == first
    await followed.send(REMOVED[followed.name])
    assert await followed.removed_at() > first


async def test_an_event_waits_for_its_gateway_and_others_change_nothing(followed: Followed) -> None:
    kind = UPDATED[followed.name][0]
    before = await followed.cards()
    for unknown in ("9" * 12, "pm_unknown", "x" * 500, 7, {"id": followed.card.gateway_card_id}):
        await followed.send(kind, unknown)
        await followed.send(REMOVED[followed.name], unknown)
    assert (await followed.cards(), await followed.states()) == (before, {"ignored"})
    await followed.renew(2063)
    await followed.fault("cut_body")
    await followed.send(kind)
    assert (await followed.cards(), await followed.states()) == (before, {"ignored", "waiting"})
    followed.running.clock.ahead += timedelta(seconds=1)
    await followed.running.later(seconds=pause_after(0).total_seconds())
    (card,) = await followed.cards()
    assert (card.exp_year, await followed.states()) == (2063, {"ignored"})
