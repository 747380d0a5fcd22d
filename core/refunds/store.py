"""SQL of refunds that were requested here."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import datetime

from sqlalchemy import and_, bindparam, insert, select, update

from core.database.metadata_pairs import insert_pairs
from core.database.paging import Page, PagedList, PageRequest
from core.database.schema import REFUND_STATUSES, refunds
from core.database.transactions import Transaction
from core.due_work.rules import Key
from core.due_work.store import REFUNDS, RELEASED
from core.metadata import Kind
from core.refunds.rules import NOT_MADE, Earlier, RefundUpdate, ToldRefund


@dataclass(frozen=True, slots=True)
class Refund(Earlier):
    """A refund as stored. `attempt` and the lease: see core.refunds.attempts."""

    business_id: str
    payment_id: str
    user_id: str
    env: str
    gateway: str
    currency: str
    is_whole: bool
    gateway_key: str
    attempt: str | None
    lease_owner: str | None
    leased_until: datetime | None
    look_at: datetime | None
    checks: int
    first_sent_at: datetime
    sent_at: datetime
    failure_code: str | None
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class RefundFilter:
    """Refunds to list; None matches all."""

    env: str
    payment_id: str | None = None
    user_id: str | None = None
    status: str | None = None
    digest: str | None = None
    """Of a pair of metadata; then the filters above are None but for `env`."""


_COLUMNS = tuple(refunds.c[each.name] for each in fields(Refund))
_IS_REFUND = and_(
    refunds.c.business_id == bindparam("of_business"),
    refunds.c.refund_id == bindparam("of_refund"),
)
_FIND = select(*_COLUMNS).where(_IS_REFUND)
_FIND_FOR_UPDATE = _FIND.with_for_update()
_UPDATE = update(refunds).where(_IS_REFUND)
_OF_PAYMENT = (
    select(*_COLUMNS)
    .where(
        refunds.c.business_id == bindparam("of_business"),
        refunds.c.payment_id == bindparam("of_payment"),
    )
    .order_by(refunds.c.created_at, refunds.c.refund_id)
)
_NEWEST_OF_PAYMENT = _OF_PAYMENT.order_by(None).order_by(
    refunds.c.created_at.desc(), refunds.c.refund_id.desc()
)
_REFUNDS: PagedList[Refund] = PagedList(
    "refunds",
    columns=_COLUMNS,
    row=Refund,
    key=(refunds.c.business_id, refunds.c.refund_id),
    moment=refunds.c.created_at,
    order=(refunds.c.created_at, refunds.c.refund_id),
)
_ENDED = {"attempt": None, "lease_owner": None, "leased_until": None, "look_at": None, **RELEASED}


async def insert_refund(transaction: Transaction, refund: Refund) -> None:
    """Insert a refund with its pairs of metadata."""
    values = {each.name: getattr(refund, each.name) for each in fields(Refund)}
    await transaction.connection.execute(insert(refunds).values(values))
    await insert_pairs(
        transaction,
        Kind.REFUND,
        business_id=refund.business_id,
        env=refund.env,
        resource_id=refund.refund_id,
        created_at=refund.created_at,
        metadata=refund.metadata,
    )


async def refund_by_id(
    transaction: Transaction, business_id: str, refund_id: str, *, lock: bool = True
) -> Refund:
    """Return a refund that exists; with `lock`, lock its row until the transaction ends."""
    rows = await transaction.connection.execute(
        _FIND_FOR_UPDATE if lock else _FIND, _of(business_id, refund_id)
    )
    return Refund(*rows.one())


async def refunds_of_payment(
    transaction: Transaction, business_id: str, payment_id: str
) -> list[Refund]:
    """Return a payment's refunds, oldest first."""
    rows = await transaction.connection.execute(
        _OF_PAYMENT, {"of_business": business_id, "of_payment": payment_id}
    )
    return [Refund(*row) for row in rows]


async def newest_of_payment(
    transaction: Transaction, business_id: str, payment_id: str, limit: int
) -> list[Refund]:
    """Return the newest refunds of a payment, oldest first."""
    rows = await transaction.connection.execute(
        _NEWEST_OF_PAYMENT.limit(limit), {"of_business": business_id, "of_payment": payment_id}
    )
    return [Refund(*row) for row in reversed(rows.all())]


async def due_refund(transaction: Transaction, key: Key) -> Refund | None:
    """Lock and return a refund that is due; None if it is not, or is locked by others."""
    rows = await transaction.connection.execute(
        select(*_COLUMNS)
        .where(REFUNDS.is_key(key), REFUNDS.is_due(transaction.now))
        .with_for_update(skip_locked=True)
    )
    row = rows.one_or_none()
    return Refund(*row) if row else None


async def lease_attempt(
    transaction: Transaction, refund: Refund, owner: str, until: datetime, *, is_sent: bool
) -> None:
    """Set an open attempt running. With `is_sent` the refund goes to the gateway at once.

    One that waited for the payment to settle is sent for the first time.
    """
    columns: dict[str, object] = {
        "attempt": "running",
        "lease_owner": owner,
        "leased_until": until,
        "look_at": until,
    }
    if is_sent:
        columns["sent_at"] = transaction.now
    if refund.attempt == "unsettled":
        columns["first_sent_at"] = transaction.now
    await _write(transaction, refund, columns)


async def renew_lease(transaction: Transaction, key: Key, owner: str, until: datetime) -> None:
    """Renew the owner's lease on a running attempt.

    Skips a row that is locked, to be renewed next time, so that renewals cannot deadlock.
    """
    business_id, refund_id = key
    rows = await transaction.connection.execute(
        _FIND.with_for_update(skip_locked=True), _of(business_id, refund_id)
    )
    row = rows.one_or_none()
    refund = Refund(*row) if row else None
    if refund is not None and (refund.attempt, refund.lease_owner) == ("running", owner):
        await _write(transaction, refund, {"leased_until": until, "look_at": until})


async def record_resend(transaction: Transaction, refund: Refund) -> None:
    """Store that a refund is sent again."""
    await _write(transaction, refund, {"sent_at": transaction.now})


async def end_attempt(transaction: Transaction, refund: Refund, changes: RefundUpdate) -> None:
    """End an attempt after which the gateway has no refund, or may have none."""
    columns: dict[str, object] = {
        "status": changes.status,
        "failure_code": changes.failure_code,
        **_ENDED,
    }
    if changes.attempt is not None:
        assert changes.check_after is not None, "an open attempt is looked at again"
        columns |= {
            "attempt": changes.attempt,
            "look_at": transaction.now + changes.check_after,
            "checks": refund.checks + 1,
        }
    await _write(transaction, refund, columns)


async def decide(
    transaction: Transaction, refund: Refund, status: str, gateway_refund_id: str | None
) -> None:
    """End an attempt as an operator decides: as `succeeded`, or as `failed`."""
    columns = {"status": status, "gateway_refund_id": gateway_refund_id, **_ENDED}
    if status == "failed":
        columns["failure_code"] = NOT_MADE
    await _write(transaction, refund, columns)


async def set_gateway_id(transaction: Transaction, refund: Refund, gateway_refund_id: str) -> None:
    """Store the gateway's id of a refund."""
    await _write(transaction, refund, {"gateway_refund_id": gateway_refund_id})


async def follow(transaction: Transaction, refund: Refund, told: ToldRefund) -> Refund:
    """Write the state that the gateway tells of a refund, and return it as it is then."""
    await _write(
        transaction,
        refund,
        {
            "status": told.status,
            "gateway_refund_id": told.gateway_refund_id,
            "failure_code": told.failure_code,
            **_ENDED,
        },
    )
    return await refund_by_id(transaction, refund.business_id, refund.refund_id)


async def refund_page(
    transaction: Transaction, *, business_id: str, which: RefundFilter, page: PageRequest
) -> Page[Refund]:
    """Return a page of the business's refunds, newest first."""
    if which.digest is not None:
        return await _REFUNDS.read_with_pair(
            transaction, page, business_id=business_id, digest=which.digest
        )
    filters = {
        refunds.c.payment_id: which.payment_id,
        refunds.c.user_id: which.user_id,
        refunds.c.status: which.status,
    }
    return await _REFUNDS.read(
        transaction,
        page,
        equal={refunds.c.business_id: business_id, refunds.c.env: which.env, **filters},
        words={refunds.c.status: REFUND_STATUSES},
    )


async def _write(transaction: Transaction, refund: Refund, columns: Mapping[str, object]) -> None:
    result = await transaction.connection.execute(
        _UPDATE,
        {
            **_of(refund.business_id, refund.refund_id),
            "updated_at": transaction.now,
            **columns,
        },
    )
    assert result.rowcount == 1, "a refund's row is never deleted"


def _of(business_id: str, refund_id: str) -> dict[str, object]:
    """Return the parameters of `_IS_REFUND`."""
    return {"of_business": business_id, "of_refund": refund_id}
