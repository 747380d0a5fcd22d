"""Receives gateway events: verifies, stores once, and applies each to its payment.

States of an event (`webhook_events.state`):

    state       event                                            next state
    -           received, of no environment with this secret     not stored
    -           received, affects no payment                     ignored
    -           received                                         waiting
    waiting     its payment exists and no attempt runs           applied
    waiting     looked up: not a payment of ours                 ignored
    waiting     no payment yet, or gateway cannot be reached     waiting, checked later
    waiting     3 days old                                       ignored
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from types import ModuleType
from typing import Protocol

from core.credentials.service import CredentialsService
from core.database.transactions import (
    CommitUnknownError,
    Database,
    DatabaseUnavailableError,
    Transaction,
)
from core.errors import InvalidFields, Refusal
from core.gateways.authorize import events as authorize_events
from core.gateways.events import Event, UnreadableEvent
from core.gateways.gateway import Account, GatewayError, GatewayRefused
from core.gateways.stripe import events as stripe_events
from core.payments import event_store
from core.payments import store as payments_store
from core.payments.event_store import Source
from core.payments.transitions import Transitions

logger = logging.getLogger("core.webhooks")

POLL_SECONDS = 2.0
BATCH = 100
_FORMATS: Mapping[str, ModuleType] = {"stripe": stripe_events, "authorize": authorize_events}


class EventLookup(Protocol):
    """The look-up of an event at its gateway, as events do not always name their payment."""

    async def complete_event(self, account: Account, event: Event) -> Event:
        """Return the event with its payment's ids, or raise a GatewayError.

        The event has no fact if its payment is not ours.
        """
        ...


class WebhooksService:
    """The use cases of WebhooksService."""

    def __init__(
        self,
        database: Database,
        credentials: CredentialsService,
        transitions: Transitions,
        lookups: Mapping[str, EventLookup],
    ) -> None:
        """Store events in `database`; verify them with the businesses' `credentials`.

        `lookups` are by the gateway's name.
        """
        self._database = database
        self._credentials = credentials
        self._transitions = transitions
        self._lookups = lookups

    async def receive(self, *, business_id: str, gateway: str, body: bytes, signature: str) -> bool:
        """Store an event and apply it; return whether it was received before.

        Raises:
            InvalidFields: the signature matches no secret, the business does not exist, or the
                body is not an event. The error is the same for all three.
        """
        envs, now = await self._envs_of(business_id, gateway, body, signature)
        if not envs:
            raise _not_signed()
        try:
            event: Event = _FORMATS[gateway].read(body, now)
        except UnreadableEvent:
            logger.warning("signed webhook is not an event", extra={"business_id": business_id})
            raise _not_signed() from None
        env = _env_of(event, envs)
        if env is None:
            logger.warning(
                "webhook ignored: its environment has no such secret",
                extra={"business_id": business_id, "event": event.event_id, "envs": envs},
            )
            return False
        source = Source(business_id, gateway, env)
        async with self._database.transaction("webhooks.receive") as transaction:
            is_new = await event_store.insert_event(transaction, source, event)
            if not event.needs_lookup:
                await self._apply(transaction, source, event)
        if event.needs_lookup and is_new:
            await self._look_up_and_apply(source, event)
        logger.info(
            "webhook received",
            extra={
                "business_id": business_id,
                "event": event.event_id,
                "type": event.type,
                "is_new": is_new,
            },
        )
        return not is_new

    async def apply_waiting(self) -> None:
        """Apply or look up the waiting events that are due; called every POLL_SECONDS."""
        async with self._database.transaction("webhooks.take_due") as transaction:
            due = await event_store.take_due(transaction, limit=BATCH)
        for waiting in due:
            try:
                if waiting.event.needs_lookup:
                    await self._look_up_and_apply(waiting.source, waiting.event)
                else:
                    async with self._database.transaction("webhooks.apply") as transaction:
                        await self._apply(transaction, waiting.source, waiting.event)
            except (DatabaseUnavailableError, CommitUnknownError):
                raise
            except Exception:
                # One event that fails must not delay the others.
                logger.exception("event not applied", extra={"event": waiting.event.event_id})

    async def _envs_of(
        self, business_id: str, gateway: str, body: bytes, signature: str
    ) -> tuple[list[str], datetime]:
        """Return the environments whose secret signed the body, and the database's time."""
        async with self._database.read() as transaction:
            secrets = await self._credentials.webhook_secrets(transaction, business_id, gateway)
            now = transaction.now
        is_signed: Callable[[bytes, str, str, datetime], bool] = _FORMATS[gateway].is_signed
        return [env for env, secret in secrets if is_signed(body, signature, secret, now)], now

    async def _apply(self, transaction: Transaction, source: Source, event: Event) -> None:
        """Apply an event to its payment if that exists; else it waits."""
        if event.fact is None:
            return
        payment = await payments_store.find_payment(
            transaction,
            business_id=source.business_id,
            gateway=source.gateway,
            env=source.env,
            payment_id=event.payment_id,
            transaction_id=event.transaction_id,
        )
        if payment is None:
            return
        payment = await self._transitions.lock(transaction, payment)
        await self._transitions.apply_events(transaction, payment)

    async def _look_up_and_apply(self, source: Source, event: Event) -> None:
        """Look an event's transaction up with no database transaction open, and apply it."""
        try:
            async with self._database.read() as transaction:
                account = await self._credentials.account(
                    transaction, source.business_id, source.gateway, source.env
                )
            completed = await self._lookups[source.gateway].complete_event(account, event)
        except GatewayRefused:
            logger.warning("event look-up refused, retrying", extra={"event": event.event_id})
            return
        except (GatewayError, Refusal):
            logger.info("event look-up failed, retrying", extra={"event": event.event_id})
            return
        async with self._database.transaction("webhooks.complete") as transaction:
            await event_store.complete_event(transaction, source, completed)
            await self._apply(transaction, source, completed)


def _env_of(event: Event, envs: Sequence[str]) -> str | None:
    """Return the environment of an event that the secrets of `envs` signed, or None."""
    if event.is_live is None:
        return envs[0]
    env = "LIVE" if event.is_live else "TEST"
    return env if env in envs else None


def _not_signed() -> InvalidFields:
    return InvalidFields.of("signature", "does not fit the body and the stored secret")
