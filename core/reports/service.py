"""Use cases of ReportsService."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from core.caller import Caller
from core.database.paging import Page, PageRequest
from core.database.transactions import Database
from core.gateways.events import CARD_FACTS, FactKind
from core.reports import rules, store
from core.reports.rules import Period, Volume
from core.reports.store import EventFilter, GatewayEvent

_REFUNDS = (FactKind.REFUND, FactKind.REFUND_FAILED)
_DISPUTES = (FactKind.DISPUTED, FactKind.DISPUTE_CLOSED)


@dataclass(frozen=True, slots=True)
class ShownEvent:
    """A webhook, with what it is about."""

    event: GatewayEvent
    change: str | None
    payment_id: str | None
    gateway_refund_id: str | None
    dispute_id: str | None
    card_id: str | None


class ReportsService:
    """The use cases of ReportsService."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def list_events(
        self, caller: Caller, which: EventFilter, page: PageRequest
    ) -> Page[ShownEvent]:
        """Return a page of the webhooks that the caller's business got.

        Raises:
            InvalidFields: as `PagedList.read` does.
        """
        business_id = caller.business_id
        async with self._database.listing() as transaction:
            found = await store.event_page(
                transaction, business_id=business_id, which=which, page=page
            )
            read = [(each, *_fact(each)) for each in found.rows]
            # An event may carry any id: who signs it may not know our payments.
            named = await store.payments_by(
                transaction,
                "payment_id",
                business_id=business_id,
                ids={each.payment_id for each in found.rows if each.payment_id},
            )
            paid = await store.payments_by(
                transaction,
                "transaction_id",
                business_id=business_id,
                ids={
                    each.transaction_id
                    for each in found.rows
                    if each.transaction_id and not each.payment_id
                },
            )
            cards = await store.cards_of_gateway_ids(
                transaction,
                business_id=business_id,
                env=which.env,
                gateway_card_ids={id_ for _, kind, id_ in read if kind in CARD_FACTS and id_},
            )
        rows = [
            ShownEvent(
                event=event,
                change=kind,
                payment_id=(named if event.payment_id else paid).get(
                    (event.gateway, event.env, event.payment_id or event.transaction_id or "")
                ),
                gateway_refund_id=(id_ or None) if kind in _REFUNDS else None,
                dispute_id=(id_ or None) if kind in _DISPUTES else None,
                card_id=cards.get((event.gateway, id_)) if kind in CARD_FACTS else None,
            )
            for event, kind, id_ in read
        ]
        return Page(rows, found.total, found.total_is_estimate, found.next_cursor)

    async def volumes(
        self, caller: Caller, env: str, from_date: datetime | None, to_date: datetime | None
    ) -> tuple[Period, Iterator[Volume]]:
        """Return the days of the request, and what moved on each of them.

        Raises:
            InvalidFields: the days are none, or too many.
        """
        async with self._database.listing() as transaction:
            period = rules.period(from_date, to_date, transaction.now)
            moved = await store.moved_in(
                transaction, business_id=caller.business_id, env=env, period=period
            )
        return period, rules.volumes(moved)


def _fact(event: GatewayEvent) -> tuple[FactKind | None, str]:
    """Return the kind of the event's fact and the id of its object; None and empty without one.

    A fact that cannot be read, for example of a newer version, shows nothing: its event was set
    aside, and the list has the others.
    """
    try:
        fact = json.loads(event.fact or "null")
        return FactKind(fact["kind"]), str(fact["object_id"])
    except (ValueError, TypeError, KeyError):
        return None, ""
