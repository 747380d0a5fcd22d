"""What happens at the gateways without the core: refunds, disputes, authentications, reviews.

Merchants, cardholders and banks act at random. The sandbox refuses what its state does not allow.
"""

import asyncio
import json
import random
from collections.abc import Awaitable, Callable, Sequence
from itertools import count
from typing import Any, Final

from core.gateways.stripe.responses import PAYMENT_ID_KEY
from sandbox.authorize.calls import IN_REVIEW, get_settled_amount
from sandbox.authorize.settlement import DECISIONS
from sandbox.stripe.disputes import MOVES as DISPUTE_MOVES
from sandbox.stripe.disputes import NEW_STATUSES as NEW_DISPUTES
from sandbox.stripe.refunds import MOVES as REFUND_MOVES
from sandbox.stripe.refunds import NEW_STATUSES as NEW_REFUNDS
from tests.end_to_end.signing import STRIPE_SECRET, stripe_signature
from tests.prove.environment import Environment
from tests.prove.merchants import Merchants

FOREIGN: Final = "foreign"
"""Description of payments that the merchant makes without us."""
FOREIGN_WAIT_SECONDS: Final = 6.0
"""After this an event without a payment is looked at again."""
DELIVERY_SECONDS: Final = 20.0
_SETTLED: Final = "settledSuccessfully"
CAPTURED_CENTS: Final = 77
CANCELLATION: Final = "requested_by_customer"
"""What tells a capture or a void in the dashboard from one that a client requested."""

Row = dict[str, Any]


class GatewaySide:
    """The shop's accounts at both gateways."""

    def __init__(self, environment: Environment, merchants: Merchants, rng: random.Random) -> None:
        self._environment = environment
        self._merchants = merchants
        self._rng = rng
        self._numbers = count(1)

    async def books(self) -> tuple[Row, Row]:
        """Return what Stripe and Authorize.Net know of the shop's account."""
        call = self._environment.call_sandbox
        stripe = (await call("GET", "books", key=self._merchants.stripe_key))["books"]
        account = self._merchants.accounts.authorize
        authorize = (await call("GET", f"books?account={account}"))["books"]
        return (stripe[0] if stripe else {}, authorize[0] if authorize else {})

    async def act(self) -> None:
        """Have one thing happen, if there is something that may."""
        stripe, authorize = await self.books()
        ours = [each for each in stripe.get("payment_intents", []) if _is_ours(each)]
        transactions = authorize.get("transactions", [])
        may_happen: list[tuple[Callable[..., Awaitable[None]], Sequence[Any]]] = [
            (self._refund, [each for each in ours if each["status"] == "succeeded"]),
            (self._move_refund, _movable(stripe.get("refunds", []), REFUND_MOVES)),
            (self._dispute, [each for each in ours if each["status"] == "succeeded"]),
            (self._move_dispute, _movable(stripe.get("disputes", []), DISPUTE_MOVES)),
            (self._authenticate, [each for each in ours if _needs_authentication(each)]),
            (self._review, [each for each in transactions if each["status"] in IN_REVIEW]),
            (self._refund_transaction, [each for each in transactions if _is_capture(each)]),
            (self._move_transaction, [each for each in transactions if _is_refund(each)]),
            (self._contradict, [each for each in ours if each["status"] == "succeeded"]),
            (self._close, [each for each in ours if each["status"] == "requires_capture"]),
        ]
        possible = [(action, things) for action, things in may_happen if things]
        if possible:
            action, things = self._rng.choice(possible)
            await action(self._rng.choice(things), ours)

    async def refund_a_transaction(self) -> None:
        """Refund a charge at Authorize.Net, if there is one."""
        _, authorize = await self.books()
        captured = [each for each in authorize.get("transactions", []) if _is_capture(each)]
        if captured:
            await self._refund_transaction(self._rng.choice(captured), ())

    async def deliver_held(self) -> None:
        """Deliver what is held, shuffled and twice, and wait until all is delivered."""
        order = {"order": "shuffled", "repeat": 2, "seed": self._rng.randrange(1, 10**6)}
        call = self._environment.call_sandbox
        await call("POST", "webhooks/deliver", order | {"parallel": 4})
        await call("POST", "webhooks/hold", {"hold": False})
        await self.wait_until_delivered()

    async def deliver_again(self) -> None:
        """Deliver all events of the shop again, shuffled, and wait until all are delivered."""
        keys = ({"key": self._merchants.stripe_key}, {"api_login_id": self._merchants.login_id})
        for key in keys:
            seed = self._rng.randrange(1, 10**6)
            order = {"shuffled": True, "copies": 1, "seed": seed}
            await self._environment.call_sandbox("POST", "webhooks/again", key | order)
        await self.wait_until_delivered()

    async def failed_deliveries(self) -> int:
        """Return how many deliveries were given up, whose events the core never had."""
        return int((await self._environment.call_sandbox("GET", "webhooks"))["failed"])

    async def wait_until_delivered(self) -> None:
        """Wait until no delivery is under way."""
        async with asyncio.timeout(DELIVERY_SECONDS):
            while (await self._environment.call_sandbox("GET", "webhooks"))["under_way"]:
                await asyncio.sleep(0.02)

    async def charge_foreign(self) -> None:
        """Charge a card without the core, and wait until its event is looked at again."""
        number = next(self._numbers)
        form = {
            "amount": "4200",
            "currency": "usd",
            "confirm": "true",
            "payment_method": "pm_card_visa",
            "return_url": "https://shop.example.com",
            "description": FOREIGN,
            "metadata[payment_id]": f"ORDER-{number}",
        }
        await self.call_stripe("payment_intents", form)
        await self.wait_until_delivered()
        self._environment.clock.advance(FOREIGN_WAIT_SECONDS)

    async def _refund(self, intent: Row, ours: Sequence[Row]) -> None:
        other = self._rng.choice(ours)["metadata"]
        amount = intent["amount_received"]
        await self._order(
            "stripe/refunds",
            payment_intent=intent["id"],
            amount=self._rng.choice((amount, amount // 2, amount // 3)),
            status=self._rng.choice(NEW_REFUNDS),
            # Merchants write what they like: only the gateway's own ids tell the payment.
            metadata={PAYMENT_ID_KEY: other[PAYMENT_ID_KEY], "payment_id": other[PAYMENT_ID_KEY]},
        )

    async def _move_refund(self, refund: Row, _: Sequence[Row]) -> None:
        status = self._rng.choice(REFUND_MOVES[refund["status"]])
        await self._order(f"stripe/refunds/{refund['id']}", status=status)

    async def _dispute(self, intent: Row, ours: Sequence[Row]) -> None:
        more: Row = {} if self._rng.random() < 0.7 else {"currency": "eur", "amount": 777}
        other = self._rng.choice(ours)["metadata"]
        await self._order(
            "stripe/disputes",
            payment_intent=intent["id"],
            status=self._rng.choice(NEW_DISPUTES),
            metadata={"payment_id": other[PAYMENT_ID_KEY]},
            **more,
        )

    async def _move_dispute(self, dispute: Row, _: Sequence[Row]) -> None:
        status = self._rng.choice(DISPUTE_MOVES[dispute["status"]])
        await self._order(f"stripe/disputes/{dispute['id']}", status=status)

    async def _authenticate(self, intent: Row, _: Sequence[Row]) -> None:
        how = self._rng.choice(({"succeeds": True}, {"succeeds": True}, {"succeeds": False}))
        if intent["status"] == "requires_action" and self._rng.random() < 0.2:
            how = {"expires": True}
        await self._order("authentications", payment_intent=intent["id"], **how)

    async def _review(self, transaction: Row, _: Sequence[Row]) -> None:
        decision = self._rng.choice(list(DECISIONS))
        await self._order("authorize/reviews", transaction=transaction["id"], decision=decision)

    async def _refund_transaction(self, transaction: Row, _: Sequence[Row]) -> None:
        identity = transaction["id"]
        if transaction["status"] != _SETTLED:
            await self._order("authorize/transactions", transaction=identity, status=_SETTLED)
        whole = get_settled_amount(transaction)
        amount = self._rng.choice((whole, round(whole / 3, 2)))
        await self._order("authorize/refunds", transaction=identity, amount=str(amount))

    async def _move_transaction(self, refund: Row, _: Sequence[Row]) -> None:
        # Authorize.Net has no event for one that fails at settlement.
        status = self._rng.choice(("refundSettledSuccessfully", "voided"))
        await self._order("authorize/transactions", transaction=refund["id"], status=status)

    async def _contradict(self, intent: Row, _: Sequence[Row]) -> None:
        """Deliver a signed event that cannot be true, which must change nothing."""
        change: Row = {"amount_received": intent["amount"] + 100}
        await self.deliver("payment_intent.succeeded", intent | change)

    async def _close(self, intent: Row, _: Sequence[Row]) -> None:
        """Capture a part of an authorized payment, or cancel it, in the dashboard."""
        path = f"payment_intents/{intent['id']}"
        if self._rng.random() < 0.5:
            await self.call_stripe(f"{path}/cancel", {"cancellation_reason": CANCELLATION})
        else:
            minor = intent["amount"] // 200 * 100 + CAPTURED_CENTS
            await self.call_stripe(f"{path}/capture", {"amount_to_capture": str(minor)})

    async def deliver(self, kind: str, thing: Row, secret: str = STRIPE_SECRET) -> None:
        """Deliver an event that Stripe did not send, signed with `secret`."""
        now = int(self._environment.clock.seconds())
        event = {
            "id": f"evt_false_{next(self._numbers)}",
            "object": "event",
            "type": kind,
            "created": now,
            "livemode": False,
            "data": {"object": thing},
        }
        body = json.dumps(event).encode()
        url = f"{self._environment.adapter_url}/webhooks/stripe/{self._merchants.shop.business_id}"
        self._environment.note(f"a false {kind} about {thing['id']}", who="gateway")
        headers = {"Stripe-Signature": stripe_signature(body, now, secret)}
        await self._environment.deliver(url, body, headers)

    async def call_stripe(self, path: str, form: dict[str, str]) -> None:
        """Call Stripe with the merchant's key, without the core."""
        await self._environment.call_stripe(path, form, self._merchants.stripe_key)

    async def _order(self, path: str, **body: Any) -> None:
        answer = await self._environment.call_sandbox("POST", path, body, may_refuse=True)
        self._environment.note(f"{path} {json.dumps(body)[:120]}: {_short(answer)}", who="gateway")


def _is_ours(intent: Row) -> bool:
    return bool(intent["description"] != FOREIGN)


def _movable(things: Sequence[Row], moves: Any) -> list[Row]:
    return [each for each in things if moves[each["status"]]]


def _needs_authentication(intent: Row) -> bool:
    error = intent["last_payment_error"] or {}
    came_back = error.get("code") == "authentication_required"
    return intent["status"] == "requires_action" or (
        intent["status"] == "requires_payment_method" and came_back
    )


def _is_capture(transaction: Row) -> bool:
    is_charge = transaction["type"] != "refundTransaction"
    return is_charge and transaction["status"] in ("capturedPendingSettlement", _SETTLED)


def _is_refund(transaction: Row) -> bool:
    return bool(transaction["status"] == "refundPendingSettlement")


def _short(answer: Row) -> str:
    return str(answer.get("error") or answer.get("status"))[:60]
