"""SQL of reports: the list of gateway events, and the volumes of a period."""

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, fields, replace
from datetime import datetime
from typing import Any, Literal, TypeAlias

from sqlalchemy import (
    Column,
    ColumnElement,
    CompoundSelect,
    Select,
    String,
    and_,
    bindparam,
    func,
    literal,
    null,
    or_,
    select,
    text,
    union_all,
)

from core.database.paging import Page, PagedList, PageRequest
from core.database.schema import (
    GATEWAY_EVENT_STATES,
    GATEWAYS,
    RECEIVED,
    UtcDateTime,
    cards,
    payments,
    refunds,
    wallet_transactions,
    wallets,
)
from core.database.schema import webhook_events as events
from core.database.transactions import Transaction
from core.payments.event_rules import CHARGED
from core.reports.rules import Moved, Period

DayOf: TypeAlias = Callable[[Column[datetime]], ColumnElement[str]]
"""Makes the date in UTC, `YYYY-MM-DD`, of a time."""
EVENTS_OF_PAYMENT_MAX = 1000
"""How many of a payment's events its list has, the newest."""


@dataclass(frozen=True, slots=True)
class EventFilter:
    """Events to list; None matches all."""

    env: str
    payment_id: str | None = None
    state: str | None = None
    gateway: str | None = None


@dataclass(frozen=True, slots=True)
class GatewayEvent:
    """A webhook as it is stored. `fact` is core.gateways.events.Fact as JSON."""

    gateway: str
    env: str
    event_id: str
    type: str
    transaction_id: str | None
    payment_id: str | None
    refund_id: str | None
    fact: str | None
    state: str
    occurred_at: datetime
    received_at: datetime
    processed_at: datetime | None


_EVENTS: PagedList[GatewayEvent] = PagedList(
    "gateway_events",
    columns=tuple(events.c[each.name] for each in fields(GatewayEvent)),
    row=GatewayEvent,
    key=tuple(events.c[name] for name in ("business_id", "env", "gateway", "event_id")),
    moment=events.c.received_at,
    order=(events.c.received_at, events.c.event_id),
    only=(text(f"webhook_events.{RECEIVED}"),),  # as the index ix_webhook_events_received has it
)
_WORDS = {events.c.gateway: GATEWAYS, events.c.state: GATEWAY_EVENT_STATES}
_PAYMENT = select(payments.c.transaction_id, payments.c.gateway, payments.c.env).where(
    payments.c.business_id == bindparam("business_id"),
    payments.c.payment_id == bindparam("payment_id"),
)
_OF_BUSINESS = and_(
    events.c.business_id == bindparam("business_id"),
    events.c.gateway == bindparam("gateway"),
    events.c.env == bindparam("env"),
    text(f"webhook_events.{RECEIVED}"),
)
# Two queries: for one with OR, PostgreSQL reads all events of the business.
_IDS_OF_PAYMENT = (
    union_all(
        select(events.c.event_id, events.c.received_at).where(
            _OF_BUSINESS, events.c.payment_id == bindparam("payment_id")
        ),
        select(events.c.event_id, events.c.received_at).where(
            _OF_BUSINESS,
            events.c.transaction_id == bindparam("transaction_id", type_=String),
            events.c.payment_id.is_(None),
        ),
    )
    .order_by(text("received_at DESC, event_id DESC"))
    .limit(EVENTS_OF_PAYMENT_MAX)
)


async def event_page(
    transaction: Transaction, *, business_id: str, which: EventFilter, page: PageRequest
) -> Page[GatewayEvent]:
    """Return a page of the webhooks that the business got, newest first."""
    equal: dict[Column[Any], str | None] = {
        events.c.business_id: business_id,
        events.c.env: which.env,
        events.c.gateway: which.gateway,
        events.c.state: which.state,
    }
    if which.payment_id is None:
        return await _EVENTS.read(transaction, page, equal=equal, words=_WORDS)
    key = {"business_id": business_id, "payment_id": which.payment_id}
    found = (await transaction.connection.execute(_PAYMENT, key)).one_or_none()
    if found is None or found.env != which.env or which.gateway not in (None, found.gateway):
        return Page([], 0, total_is_estimate=False, next_cursor=None)
    of_payment = key | {
        "gateway": found.gateway,
        "env": found.env,
        "transaction_id": found.transaction_id,
    }
    rows = await transaction.connection.execute(_IDS_OF_PAYMENT, of_payment)
    ids = [row.event_id for row in rows]
    return await replace(_EVENTS, name=f"gateway_events of {which.payment_id}").read(
        transaction,
        page,
        equal=equal | {events.c.gateway: found.gateway},
        within=[events.c.event_id.in_(ids)],
    )


async def payments_by(
    transaction: Transaction,
    name: Literal["payment_id", "transaction_id"],
    *,
    business_id: str,
    ids: Collection[str],
) -> dict[tuple[str, str, str], str]:
    """Return the ids of payments by gateway, environment and our id or the gateway's."""
    if not ids:
        return {}
    column = payments.c[name]
    rows = await transaction.connection.execute(
        select(payments.c.gateway, payments.c.env, column, payments.c.payment_id).where(
            payments.c.business_id == business_id, column.in_(sorted(ids))
        )
    )
    return {(gateway, env, id_): payment_id for gateway, env, id_, payment_id in rows}


async def cards_of_gateway_ids(
    transaction: Transaction, *, business_id: str, env: str, gateway_card_ids: Collection[str]
) -> dict[tuple[str, str], str]:
    """Return the ids of saved cards by gateway and the gateway's id."""
    if not gateway_card_ids:
        return {}
    rows = await transaction.connection.execute(
        select(cards.c.gateway, cards.c.gateway_card_id, cards.c.card_id).where(
            cards.c.business_id == business_id,
            cards.c.env == env,
            cards.c.gateway.in_(GATEWAYS),
            cards.c.gateway_card_id.in_(sorted(gateway_card_ids)),
        )
    )
    return {(row.gateway, row.gateway_card_id): row.card_id for row in rows}


def _in_period(created_at: Column[datetime]) -> ColumnElement[bool]:
    return and_(
        created_at >= bindparam("begin", type_=UtcDateTime),
        created_at < bindparam("end", type_=UtcDateTime),
    )


def _moved_on(day_of: DayOf) -> CompoundSelect[Any]:
    """Return the query of what moved, by kind, day, gateway and currency."""

    def counted(
        kind: ColumnElement[str],
        table: Any,
        gateway: ColumnElement[Any],
        currency: ColumnElement[str],
        where: Iterable[ColumnElement[bool]],
    ) -> Select[Any]:
        day = day_of(table.c.created_at)
        return (
            select(
                kind.label("kind"),
                day.label("day"),
                gateway.label("gateway"),
                currency.label("currency"),
                func.count().label("movements"),
                func.sum(table.c.amount_minor).label("amount_minor"),
            )
            .where(
                table.c.business_id == bindparam("business_id"),
                _in_period(table.c.created_at),
                *where,
            )
            .group_by(text("1, 2, 3, 4"))
        )

    return union_all(
        counted(
            literal("payment", String),
            payments,
            payments.c.gateway,
            payments.c.currency,
            (
                payments.c.env == bindparam("env"),
                payments.c.gateway.in_(GATEWAYS),  # so that ix_payments_by_status has the rows
                payments.c.status.in_(sorted(CHARGED | {"voided"})),
                # An authorization that is voided was never charged.
                or_(payments.c.status != "voided", payments.c.succeeded_at.is_not(None)),
            ),
        ),
        counted(
            literal("refund", String),
            refunds,
            refunds.c.gateway,
            refunds.c.currency,
            (refunds.c.env == bindparam("env"), refunds.c.status == "succeeded"),
        ),
        _moved_wallets(day_of),
    )


def _moved_wallets(day_of: DayOf) -> Select[Any]:
    """Return the query of what moved in wallets.

    Each movement's wallet is found by its key, once: of a join, either database may read all
    wallets and, for each, the movements of all days.
    """
    currency = (
        select(wallets.c.currency)
        .where(
            wallets.c.business_id == bindparam("business_id"),
            wallets.c.wallet_id == wallet_transactions.c.wallet_id,
            wallets.c.env == bindparam("env"),
        )
        .scalar_subquery()
    )
    found = (
        select(
            wallet_transactions.c.type.label("kind"),
            day_of(wallet_transactions.c.created_at).label("day"),
            currency.label("currency"),
            wallet_transactions.c.amount_minor,
        )
        .where(
            wallet_transactions.c.business_id == bindparam("business_id"),
            _in_period(wallet_transactions.c.created_at),
        )
        .cte("found")
        .prefix_with("MATERIALIZED")
    )
    return (
        select(
            found.c.kind,
            found.c.day,
            null().label("gateway"),
            found.c.currency,
            func.count().label("movements"),
            func.sum(found.c.amount_minor).label("amount_minor"),
        )
        .where(found.c.currency.is_not(None))
        .group_by(found.c.kind, found.c.day, found.c.currency)
    )


_MOVED = {
    "postgresql": _moved_on(
        lambda moment: func.to_char(func.timezone("UTC", moment), "YYYY-MM-DD", type_=String)
    ),
    "sqlite": _moved_on(lambda moment: func.date(moment, type_=String)),
}


async def moved_in(
    transaction: Transaction, *, business_id: str, env: str, period: Period
) -> list[Moved]:
    """Return what moved on each day, exactly, in one statement."""
    rows = await transaction.connection.execute(
        _MOVED[transaction.connection.dialect.name],
        {"business_id": business_id, "env": env, "begin": period.begin, "end": period.end},
    )
    return [
        Moved(
            row.kind, row.day, row.gateway, row.currency, int(row.movements), int(row.amount_minor)
        )
        for row in rows
    ]
