"""Receives gateway events: verifies, stores once, and applies each to its payment or card.

States of an event (`webhook_events.state`):

    state       event                                            next state
    -           received, of no environment with this secret     not stored
    -           received, affects no payment                     ignored
    -           received                                         waiting
    waiting     its payment exists and no attempt runs           applied
    waiting     looked up: not a payment of ours                 ignored
    waiting     its card was read at the gateway and stored      ignored
    waiting     no payment yet, or gateway cannot be reached     waiting, checked later
    waiting     3 days old                                       ignored
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import asdict, replace
from datetime import datetime, timedelta
from secrets import token_hex
from types import ModuleType
from typing import Protocol, TypeAlias

from core.cards.following import CardFollower
from core.credentials.service import CredentialsService
from core.credentials.webhook_secrets import LIFETIME, RECHECK_AFTER, SecretsKey, WebhookSecrets
from core.database.transactions import Database, Transaction
from core.due_work.failures import is_outage
from core.due_work.rules import Key
from core.due_work.store import EVENTS
from core.errors import RETRY_SECONDS, InvalidFields, Reason, Refusal
from core.gateways.authorize import events as authorize_events
from core.gateways.events import CARD_FACTS, TOLERANCE, Event, FactKind, UnreadableEvent
from core.gateways.gateway import Account, GatewayError, GatewayRefused
from core.gateways.stripe import events as stripe_events
from core.payments import event_store
from core.payments import store as payments_store
from core.payments.event_store import Source
from core.payments.transitions import Transitions
from core.security.secrets import Secret

logger = logging.getLogger("core.webhooks")

SignatureAge: TypeAlias = Callable[[bytes, str, str, datetime], timedelta | None]
IGNORED_LIFE = timedelta(days=90)
"""How long ignored events are kept, unless the settings say otherwise."""
REAP_SECONDS = 60.0
REAP_BATCH = 500
_NO_SECRETS = (("", Secret(token_hex(32))),)
"""Tried where there are none, so that the response time does not reveal known business ids."""
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

    due = EVENTS

    def __init__(
        self,
        database: Database,
        credentials: CredentialsService,
        transitions: Transitions,
        lookups: Mapping[str, EventLookup],
        cards: CardFollower,
        ignored_events_life: timedelta = IGNORED_LIFE,
    ) -> None:
        """Store events in `database`; verify them with the businesses' `credentials`.

        `lookups` are by the gateway's name. `cards` follows what events tell of cards. Ignored
        events are deleted after `ignored_events_life`.
        """
        self._ignored_events_life = ignored_events_life
        self._database = database
        self._credentials = credentials
        self._transitions = transitions
        self._lookups = lookups
        self._cards = cards

    async def receive(self, *, business_id: str, gateway: str, body: bytes, signature: str) -> bool:
        """Store an event and apply it; return whether it was received before.

        Signed bodies that are no events are ignored: the gateway would only deliver them again.

        Raises:
            InvalidFields: the signature matches no secret, or the business does not exist. The
                error is the same for both.
            Refusal: INVALID_FIELDS with `skew_seconds`, the signature is right but its time is not;
                SERVICE_UNAVAILABLE, the secret that may have signed the event does not open.
        """
        secrets, envs = await self._signers(business_id, gateway, body, signature)
        try:
            event: Event = _FORMATS[gateway].read(body, self._database.now())
        except UnreadableEvent:
            logger.warning("signed webhook is not an event", extra={"business_id": business_id})
            return False
        env = _env_of(event, envs)
        if env not in envs:
            if env in dict(secrets.unreadable):
                raise _unreadable_secret()
            logger.warning(
                "webhook ignored: its environment has no such secret",
                extra={"business_id": business_id, "event": event.event_id, "envs": envs},
            )
            return False
        source = Source(business_id, gateway, env)
        try:
            async with (
                self._turn(source, event),
                self._database.transaction("webhooks.receive") as transaction,
            ):
                is_new = await event_store.insert_event(transaction, source, event)
                if not event.needs_lookup:
                    await self._apply(transaction, source, event)
            if event.needs_lookup and is_new:
                await self._look_up_and_apply(source, event)
        except Exception as error:
            if is_outage(error):
                raise
            # The queue tries again, and sets the event aside in the end; the gateway need not.
            logger.exception("event not applied", extra={"event": event.event_id})
            async with self._database.transaction("webhooks.store") as transaction:
                is_new = await event_store.insert_event(transaction, source, event)
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

    async def reap(self) -> None:
        """Delete ignored events that are old, in transactions of up to 500.

        All other events stay: from them a payment's state and history are computed.
        """
        while await self._reap_some() == REAP_BATCH:
            pass

    async def _reap_some(self) -> int:
        async with self._database.transaction("webhooks.reap") as transaction:
            before = transaction.now - self._ignored_events_life
            return await event_store.delete_ignored(transaction, before, REAP_BATCH)

    async def look(self, key: Key) -> None:
        """Apply or look up a waiting event that is due, as core.due_work asks."""
        async with self._database.transaction("webhooks.take_due") as transaction:
            waiting = await event_store.take_due(transaction, key)
        if waiting is None:
            return
        if waiting.event.needs_lookup:
            await self._look_up_and_apply(waiting.source, waiting.event)
            return
        async with (
            self._turn(waiting.source, waiting.event),
            self._database.transaction("webhooks.apply") as transaction,
        ):
            await self._apply(transaction, waiting.source, waiting.event)

    def _turn(self, source: Source, event: Event) -> AbstractAsyncContextManager[None]:
        """Return the turn of the event's payment, or of what it is about instead."""
        about = event.payment_id or event.transaction_id or event.event_id
        return self._transitions.turns.turn(source.business_id, about)

    async def _signers(
        self, business_id: str, gateway: str, body: bytes, signature: str
    ) -> tuple[WebhookSecrets, list[str]]:
        """Return the business's secrets and the environments whose secret signed the body.

        Opens no transaction unless the secrets in memory are too old to decide.

        Raises:
            InvalidFields, Refusal: as `receive` does.
        """
        key = SecretsKey(business_id, gateway)
        signature_age: SignatureAge = _FORMATS[gateway].signature_age
        tried: WebhookSecrets | None = None
        for max_age in (LIFETIME, RECHECK_AFTER):
            secrets = await self._credentials.webhook_secrets.get(key, max_age=max_age)
            if secrets is tried:
                break
            tried, now = secrets, self._database.now()
            ages = {
                env: signature_age(body, signature, secret.reveal(), now)
                for env, secret in secrets.by_env or _NO_SECRETS
            }
            signed = {env: age for env, age in ages.items() if age is not None}
            envs = [env for env, age in signed.items() if abs(age) <= TOLERANCE]
            if envs:
                return secrets, envs
        if signed:
            raise _skewed(business_id, min(signed.values(), key=abs))
        if secrets.unreadable and not secrets.by_env:
            raise _unreadable_secret()
        raise InvalidFields.of("signature", "does not fit the body and the stored secret")

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
            completed = await self._completed(source, event)
        except GatewayRefused:
            logger.warning("event look-up refused, retrying", extra={"event": event.event_id})
            return
        except (GatewayError, Refusal):
            logger.info("event look-up failed, retrying", extra={"event": event.event_id})
            return
        async with (
            self._turn(source, completed),
            self._database.transaction("webhooks.complete") as transaction,
        ):
            await event_store.complete_event(transaction, source, completed)
            await self._apply(transaction, source, completed)

    async def _completed(self, source: Source, event: Event) -> Event:
        """Return an event with the details of its look-up; what it tells of a card is stored."""
        fact = event.fact
        if fact is not None and fact.kind is FactKind.CARD_SET_UP:
            await self._cards.keep_set_up(**asdict(source), setup_id=fact.object_id)
            return replace(event, fact=None, needs_lookup=False)
        if fact is not None and fact.kind in CARD_FACTS:
            await self._cards.follow(
                **asdict(source),
                gateway_card_id=fact.object_id,
                is_removal=fact.kind is FactKind.CARD_REMOVED,
            )
            return replace(event, fact=None, needs_lookup=False)
        async with self._database.read() as transaction:
            account = await self._credentials.account(
                transaction, source.business_id, source.gateway, source.env
            )
        return await self._lookups[source.gateway].complete_event(account, event)


def _env_of(event: Event, envs: Sequence[str]) -> str:
    """Return the environment of an event that the secrets of `envs` signed."""
    if event.is_live is None:
        return envs[0]
    return "LIVE" if event.is_live else "TEST"


def _skewed(business_id: str, age: timedelta) -> Refusal:
    """Return the refusal of a right signature of another time; log it, as our clock may be wrong.

    Only who knows the secret can get it.
    """
    seconds = round(age.total_seconds())
    logger.warning(
        "webhook signed at another time than this server's",
        extra={"business_id": business_id, "skew_seconds": seconds},
    )
    minutes = max(1, round(abs(seconds) / 60))
    return Refusal(
        Reason.ERROR_REASON_INVALID_FIELDS,
        f"The signature is right, but its time is {minutes} minutes "
        f"{'before' if seconds > 0 else 'after'} ours: check the clock of this server",
        metadata={"skew_seconds": str(seconds)},
    )


def _unreadable_secret() -> Refusal:
    return Refusal(
        Reason.ERROR_REASON_SERVICE_UNAVAILABLE,
        "The stored webhook secret cannot be opened. Deliver the event again.",
        retry_after_seconds=RETRY_SECONDS,
    )
