"""The code of the mutants of what follows a charge: events, cycles, due work."""

import asyncio
from dataclasses import replace
from datetime import timedelta
from secrets import token_hex
from typing import Any

from core.database.connections import Kind
from core.gateways.authorize.gateway import AuthorizeGateway
from core.gateways.events import CARD_FACTS, EXPIRED
from core.gateways.stripe import events as stripe_events
from core.idempotency.service import Idempotency
from core.payments import closing, closing_rules, event_rules, event_store
from core.payments.closing_rules import ClosingStep
from core.recurring import rules as recurring_rules
from core.recurring.calendar import first_after
from core.recurring.claims import Claims
from core.recurring.following import CycleFollower
from core.refunds import attempts as refund_attempts
from core.refunds import store as refunds_store
from core.refunds.decisions import RefundDecisions
from core.server.stream_connection import StreamConnection
from core.wallet import hold_store, ledger
from core.wallet.hold_rules import HoldStatus
from core.wallet.rules import Direction
from core.webhooks.service import WebhooksService
from tests.prove.mutations import patch

ANSWERED_SECONDS = 0.05
"""How much later an event is stored than acknowledged: its answer has left by then."""


def event_is_answered_early() -> None:
    receive = WebhooksService.receive
    receiving: set[asyncio.Future[bool]] = set()

    async def store(self: WebhooksService, **event: Any) -> bool:
        await asyncio.sleep(ANSWERED_SECONDS)
        return await receive(self, **event)

    async def answered(self: WebhooksService, **event: Any) -> bool:
        receiving.add(asyncio.ensure_future(store(self, **event)))
        return False

    patch(WebhooksService, "receive", answered)


def failed_refunds_count() -> None:
    def never(event: Any) -> bool:
        return False

    patch(event_rules, "_has_failed", never)


def cycles_do_not_follow() -> None:
    async def nothing(self: Any, transaction: Any, payment: Any, message: Any) -> None:
        pass

    patch(CycleFollower, "follow", nothing)


def metadata_is_trusted_first() -> None:
    with_ids = stripe_events._with_ids

    def trusted(event: Any, kind: str, subject: Any) -> Any:
        if payment_id := (subject.get("metadata") or {}).get("payment_id"):
            return replace(event, payment_id=payment_id, transaction_id=None)
        return with_ids(event, kind, subject)

    patch(stripe_events, "_with_ids", trusted)


def zone_restarts_the_calendar() -> None:
    def restarted(old: Any, new: Any, n: int, *, last: Any, now: Any) -> int | None:
        found = first_after(new, now)
        return found and found[0]

    patch(recurring_rules, "ordinal_after_change", restarted)


def poison_stops_claims() -> None:
    async def nothing(self: Any, key: Any, wanted: Any) -> list[Any]:
        return []

    patch(Claims, "_lease_one", nothing)


def contradictions_are_applied() -> None:
    sorted_out = event_rules.events_of_payment

    def agreeing(events: Any, **known: Any) -> Any:
        transaction_id, *_ = sorted_out(events, **known)
        return transaction_id, list(events), []

    patch(event_rules, "events_of_payment", agreeing)


def signatures_are_not_checked() -> None:
    def signed_now(*_: Any) -> timedelta:
        return timedelta(0)

    patch(stripe_events, "signature_age", signed_now)


def refunds_are_not_reserved() -> None:
    def nothing(events: Any, refunds: Any, transaction_id: Any) -> int:
        return 0

    patch(event_rules, "_reserved", nothing)


def parts_are_voided() -> None:
    refund = AuthorizeGateway.refund

    async def whole(self: Any, account: Any, wanted: Any) -> Any:
        return await refund(self, account, replace(wanted, is_whole=True))

    patch(AuthorizeGateway, "refund", whole)


def refunds_are_resent_anew() -> None:
    request_of = refund_attempts.gateway_refund

    def under_new_key(*of: Any, **flags: Any) -> Any:
        wanted = request_of(*of, **flags)
        return replace(wanted, gateway_key=token_hex(16))

    patch(refund_attempts, "gateway_refund", under_new_key)


def failed_decisions_free_nothing() -> None:
    async def write(self: Any, transaction: Any, refund: Any, payment: Any, request: Any) -> None:
        await refunds_store.decide(transaction, refund, request.resolution, None)

    patch(RefundDecisions, "_write", write)


def holds_are_not_counted() -> None:
    async def nothing(transaction: Any, hold: Any, change_minor: int) -> None:
        pass

    patch(hold_store, "_change_held", nothing)


def captured_holds_stay_open() -> None:
    close = hold_store.close_hold

    async def closed(transaction: Any, hold: Any, status: Any, **captured: Any) -> Any:
        if status != HoldStatus.CAPTURED:
            return await close(transaction, hold, status, **captured)
        minor = captured["captured_minor"]
        await hold_store._change_held(transaction, hold, -minor)
        return replace(hold, status=status, closed_at=transaction.now, **captured)

    patch(hold_store, "close_hold", closed)


def transfers_are_two_transactions() -> None:
    write = ledger.write

    async def credit_first(transaction: Any, decided: Any, records: Any = ()) -> bool:
        def is_credit(applied: Any) -> bool:
            movement = applied.movement
            return movement.reason == "transfer" and movement.direction is Direction.CREDIT

        credited = [each for each in decided.applied if is_credit(each)]
        if credited:
            await write(transaction, replace(decided, applied=credited))
            await transaction.connection.commit()
            await transaction.connection.begin(Kind.SHORT)
        rest = [each for each in decided.applied if not is_credit(each)]
        return await write(transaction, replace(decided, applied=rest), records)

    patch(ledger, "write", credit_first)


def retries_forget_their_charge() -> None:
    async def nothing(self: Any, transaction: Any, call: Any, payment_id: Any) -> None:
        pass

    patch(Idempotency, "point_to", nothing)


def second_captures_are_answered() -> None:
    step = closing_rules.closing_step

    def answered(payment: Any, requested: Any) -> ClosingStep:
        if payment.closing == requested.closing and payment.status in event_rules.CHARGED:
            return ClosingStep.RETURN
        return step(payment, requested)

    patch(closing, "closing_step", answered)


def expiries_void_captures() -> None:
    next_state = event_rules.next_state

    def voided(state: Any, events: Any, **known: Any) -> Any:
        after = next_state(state, events, **known)
        is_expired = any(each.fact.decline_code == EXPIRED for each in events)
        return replace(after, status="voided") if is_expired else after

    patch(event_rules, "next_state", voided)


def unknown_captures_are_given_up() -> None:
    def certain(error: Any, **known: Any) -> bool:
        return True

    patch(closing_rules, "is_certain", certain)


def card_events_end_first() -> None:
    completed = WebhooksService._completed

    async def done_first(self: Any, source: Any, event: Any) -> Any:
        if event.fact is not None and event.fact.kind in CARD_FACTS:
            done = replace(event, fact=None, needs_lookup=False)
            async with self._database.transaction() as transaction:
                await event_store.complete_event(transaction, source, done)
        return await completed(self, source, event)

    patch(WebhooksService, "_completed", done_first)


def written_answers_count_as_received() -> None:
    serve = StreamConnection.__init__

    def unacknowledged(self: StreamConnection, *arguments: Any, **known: Any) -> None:
        serve(self, *arguments, **known | {"acknowledges": False})

    patch(StreamConnection, "__init__", unacknowledged)
