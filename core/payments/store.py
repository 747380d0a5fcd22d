"""SQL of payments: their rows, and the states that follow an outcome.

Attempts, and the delivery of responses, have stores of their own beside it.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Column, and_, bindparam, func, select, update
from sqlalchemy.dialects import postgresql, sqlite

from core.business import caps
from core.database.metadata_pairs import insert_pairs
from core.database.paging import Page, PagedList, PageRequest
from core.database.schema import GATEWAYS, PAYMENT_STATUSES, UtcDateTime, payments
from core.database.transactions import Transaction
from core.due_work.store import RELEASED
from core.metadata import Kind
from core.payments.rules import CANCELABLE, pause_after

PaymentKey = tuple[str, str]
"""Business id and payment id."""
LOOK_TIME = timedelta(minutes=2)
"""Longest time of a look at a payment that is not pending: some calls to its gateway."""
CLOSING_TIME = timedelta(seconds=30)
"""When a core looks at a capture or void whose core may have died: after the gateway's timeout."""


@dataclass(frozen=True, slots=True)
class Lease:
    """The core that owns a running attempt, and the end of its lease unless renewed."""

    owner: str
    until: datetime


@dataclass(frozen=True, slots=True)
class Payment:
    """A payment as stored. `attempt`, `lease`, `joinable`: see core.payments.attempts."""

    business_id: str
    payment_id: str
    user_id: str
    env: str
    gateway: str
    kind: str
    amount_minor: int
    currency: str
    description: str | None
    idempotency_key: str | None
    customer_id: str
    gateway_card_id: str
    gateway_key: str
    status: str
    attempt: str | None
    lease: Lease | None
    joinable: bool
    checks: int
    """Number of attempts that ended and of looks since the last outcome; sets the next pause."""
    transaction_id: str | None
    decline_code: str | None
    answered: bool
    created_at: datetime
    updated_at: datetime
    sent_at: datetime | None = None
    """Time of the last resend to the gateway; None if it was never resent."""
    amount_refunded_minor: int = 0
    look_at: datetime | None = None
    """When the core looks at the payment again; None: never."""
    cancel_at: datetime | None = None
    """Since when the payment is to be canceled at its gateway."""
    metadata: str | None = None
    """As `core.metadata.stored_metadata` returns it."""
    responding_core: str | None = None
    """Of an unanswered success: the core that is sending the response. Stored in `lease_owner`."""
    authorized_minor: int | None = None
    """The amount that was requested, if it is authorized first; None: it is charged at once. Of
    such a payment `amount_minor` is what is captured, once it is."""
    closing: str | None = None
    """What was requested to end the authorization: `capture` or `void`. See
    core.payments.closing."""
    closing_minor: int | None = None
    """Amount of the requested capture."""
    closing_key: str | None = None
    """Idempotency key of that request."""
    void_reason: str | None = None
    """Why the void was requested."""
    capped_key_id: str | None = None
    """The API key with caps that began the payment, which they count; None: its key has none."""

    @property
    def requested_minor(self) -> int:
        """The amount as it was requested."""
        return self.amount_minor if self.authorized_minor is None else self.authorized_minor

    @property
    def is_closing(self) -> bool:
        """Whether a capture or void is requested and not finished."""
        return self.status == "authorized" and self.closing is not None


@dataclass(frozen=True, slots=True)
class PaymentFilter:
    """Payments to list; None matches all."""

    env: str
    user_id: str | None = None
    status: str | None = None
    gateway: str | None = None
    digest: str | None = None
    """Of a pair of metadata; then the filters above are None but for `env`."""


COLUMNS: tuple[Column[Any], ...] = (
    payments.c.business_id,
    payments.c.payment_id,
    payments.c.user_id,
    payments.c.env,
    payments.c.gateway,
    payments.c.kind,
    payments.c.amount_minor,
    payments.c.currency,
    payments.c.description,
    payments.c.idempotency_key,
    payments.c.customer_id,
    payments.c.gateway_card_id,
    payments.c.gateway_key,
    payments.c.status,
    payments.c.attempt,
    payments.c.lease_owner,
    payments.c.leased_until,
    payments.c.joinable,
    payments.c.checks,
    payments.c.transaction_id,
    payments.c.decline_code,
    payments.c.answered,
    payments.c.created_at,
    payments.c.sent_at,
    payments.c.amount_refunded_minor,
    payments.c.updated_at,
    payments.c.look_at,
    payments.c.cancel_at,
    payments.c.authorized_minor,
    payments.c.closing,
    payments.c.closing_minor,
    payments.c.closing_key,
    payments.c.void_reason,
    payments.c.metadata,
    payments.c.capped_key_id,
)


_COLUMN_NAMES = tuple(column.key for column in COLUMNS)
_PAYMENTS: PagedList[Payment] = PagedList(
    "payments",
    columns=COLUMNS,
    row=lambda *row: payment_of(row),
    key=(payments.c.business_id, payments.c.payment_id),
    moment=payments.c.created_at,
    order=(payments.c.created_at, payments.c.payment_id),
)
_OF_CLOSING = ("closing", "closing_minor", "closing_key", "void_reason")
_INSERTED = tuple(
    each.name
    for each in fields(Payment)
    if each.name not in {"lease", "responding_core", *_OF_CLOSING}
)
_INSERT = {
    "postgresql": postgresql.insert(payments).on_conflict_do_nothing(),
    "sqlite": sqlite.insert(payments).on_conflict_do_nothing(),
}
_IS_PAYMENT = and_(
    payments.c.business_id == bindparam("of_business"),
    payments.c.payment_id == bindparam("of_payment"),
)
_FIND = select(*COLUMNS).where(_IS_PAYMENT)
_FIND_FOR_UPDATE = _FIND.with_for_update()
_UPDATE = update(payments).where(_IS_PAYMENT)
_SUCCESSES = select(payments.c.succeeded_at, payments.c.first_outcome).where(_IS_PAYMENT)
_SET_SUCCEEDED = _UPDATE.values(
    succeeded_at=func.coalesce(payments.c.succeeded_at, bindparam("now", type_=UtcDateTime))
)
_WORDS = {payments.c.gateway: GATEWAYS, payments.c.status: PAYMENT_STATUSES}


async def insert_payment(transaction: Transaction, payment: Payment) -> bool:
    """Insert a payment with its pairs of metadata, and return whether its id was free."""
    columns = {name: getattr(payment, name) for name in _INSERTED}
    columns["look_at"] = payment.lease and payment.lease.until
    result = await transaction.connection.execute(
        _INSERT[transaction.connection.dialect.name],
        {**columns, **lease_columns(payment.lease), **RELEASED, "succeeded_at": None},
    )
    is_inserted = result.rowcount == 1
    if is_inserted and payment.metadata is not None:
        await insert_pairs(
            transaction,
            Kind.PAYMENT,
            business_id=payment.business_id,
            env=payment.env,
            resource_id=payment.payment_id,
            created_at=payment.created_at,
            metadata=payment.metadata,
        )
    return is_inserted


def lease_columns(lease: Lease | None) -> dict[str, object]:
    """Return the columns of a lease, or of none."""
    return {"lease_owner": lease and lease.owner, "leased_until": lease and lease.until}


def payment_of(row: Iterable[Any]) -> Payment:
    """Return the payment of a row with COLUMNS."""
    columns = dict(zip(_COLUMN_NAMES, row, strict=True))
    owner, until = columns.pop("lease_owner"), columns.pop("leased_until")
    lease = Lease(owner, until) if until else None
    return Payment(**columns, lease=lease, responding_core=None if until else owner)


async def payment_by_id(
    transaction: Transaction, *, business_id: str, payment_id: str, lock: bool = True
) -> Payment:
    """Return a payment that exists; with `lock`, lock its row until the transaction ends."""
    rows = await transaction.connection.execute(
        _FIND_FOR_UPDATE if lock else _FIND, _of(business_id, payment_id)
    )
    return payment_of(rows.one())


async def has_succeeded(transaction: Transaction, payment: Payment) -> bool:
    """Return whether a payment was ever charged, or authorized at first."""
    rows = await transaction.connection.execute(
        _SUCCESSES, _of(payment.business_id, payment.payment_id)
    )
    found = rows.one()
    return found.succeeded_at is not None or found.first_outcome == "authorized"


async def find_payment(
    transaction: Transaction,
    *,
    business_id: str,
    gateway: str | None,
    env: str,
    payment_id: str | None,
    transaction_id: str | None,
) -> Payment | None:
    """Return the payment with the gateway's id, or else with our id, without a lock; or None.

    `gateway` None stands for any.
    """
    ids = ((payments.c.transaction_id, transaction_id), (payments.c.payment_id, payment_id))
    for column, value in ids:
        if value is None:
            continue
        rows = await transaction.connection.execute(
            select(*COLUMNS)
            .where(
                payments.c.business_id == business_id,
                *((payments.c.gateway == gateway,) if gateway else ()),
                payments.c.env == env,
                column == value,
            )
            .order_by(payments.c.created_at)
            .limit(1)
        )
        if row := rows.one_or_none():
            return payment_of(row)
    return None


async def write_state(
    transaction: Transaction,
    payment: Payment,
    *,
    status: str,
    transaction_id: str | None,
    decline_code: str | None,
    amount_refunded_minor: int,
    amount_minor: int,
) -> None:
    """Update a payment that has its outcome."""
    assert payment.attempt is None, "a pending payment gets its outcome first"
    await update_columns(
        transaction,
        payment,
        {
            "status": status,
            "transaction_id": transaction_id,
            "decline_code": decline_code,
            "amount_refunded_minor": amount_refunded_minor,
            "amount_minor": amount_minor,
            "checks": 0,
            **RELEASED,
        },
    )
    await follow_caps(transaction, payment, status)


async def follow_caps(transaction: Transaction, payment: Payment, status: str) -> None:
    """Have the caps of the payment's API key follow a new status."""
    if payment.capped_key_id is not None:
        await caps.follow_status(
            transaction,
            business_id=payment.business_id,
            key_id=payment.capped_key_id,
            day=payment.created_at.date().isoformat(),
            amount_minor=payment.requested_minor,
            before=payment.status,
            after=status,
        )


async def check_now(transaction: Transaction, payment: Payment) -> None:
    """Make an open payment due now."""
    if payment.attempt in ("unknown", "not_sent"):
        await update_columns(
            transaction, payment, {"look_at": transaction.now, "attempt": "unknown"}
        )


async def look_later(transaction: Transaction, payment: Payment, at: datetime | None) -> None:
    """Look at a payment with an outcome again at this time; None: never."""
    assert payment.attempt is None, "an open payment is looked at by its attempt's state"
    await update_columns(transaction, payment, {"look_at": at})


async def begin_closing(
    transaction: Transaction,
    payment: Payment,
    *,
    closing: str,
    amount_minor: int | None,
    key: str | None,
    void_reason: str | None,
) -> None:
    """Store what is requested to end an authorization, to be sent now.

    Who requests it knows of the authorization, so no equal charge without a key is a retry of it.
    """
    columns: dict[str, object] = {
        "closing": closing,
        "closing_minor": amount_minor,
        "closing_key": key,
        "void_reason": void_reason,
        "answered": True,
    }
    columns |= _sent(transaction, payment)
    await update_columns(transaction, payment, {**columns, **RELEASED})


async def resend_closing(transaction: Transaction, payment: Payment, *, is_asked: bool) -> None:
    """Store that a capture or void is sent again.

    A caller that asked for it also releases the payment if it was set aside.
    """
    columns = _sent(transaction, payment)
    await update_columns(transaction, payment, {**columns, **(RELEASED if is_asked else {})})


async def set_sent(transaction: Transaction, payment: Payment, at: datetime) -> None:
    """Store that since this time nothing was sent that may be in flight."""
    await update_columns(transaction, payment, {"sent_at": at})


def _sent(transaction: Transaction, payment: Payment) -> dict[str, object]:
    return {
        "sent_at": transaction.now,
        "look_at": transaction.now + CLOSING_TIME,
        "checks": payment.checks + 1,
    }


async def give_up_closing(transaction: Transaction, payment: Payment) -> None:
    """Store that a capture or void was certainly not made, so that another may be requested."""
    await update_columns(transaction, payment, dict.fromkeys(_OF_CLOSING))


async def put_off_look(transaction: Transaction, payment: Payment) -> None:
    """Put off a payment with an outcome for longer than a look at it takes."""
    pause = max(pause_after(payment.checks), LOOK_TIME)
    columns = {"look_at": transaction.now + pause, "checks": payment.checks + 1}
    await update_columns(transaction, payment, columns)


async def cancel_payments(
    transaction: Transaction,
    business_id: str,
    payment_ids: Sequence[str | None],
    *,
    only_authentications: bool = False,
) -> None:
    """Have payments canceled at their gateway now, unless they are charged.

    `only_authentications` leaves those alone that the gateway holds for review.
    """
    if payment_ids:
        await transaction.connection.execute(
            update(payments)
            .where(
                payments.c.business_id == business_id,
                payments.c.payment_id.in_(payment_ids),
                payments.c.status.in_(("requires_action",) if only_authentications else CANCELABLE),
            )
            .values(cancel_at=transaction.now, look_at=transaction.now)
        )


async def update_columns(
    transaction: Transaction, payment: Payment, columns: Mapping[str, object]
) -> None:
    """Write columns of a payment that exists."""
    values = {
        **_of(payment.business_id, payment.payment_id),
        "updated_at": transaction.now,
        **columns,
    }
    statement = _UPDATE
    if columns.get("status") == "succeeded":
        statement, values["now"] = _SET_SUCCEEDED, transaction.now
    result = await transaction.connection.execute(statement, values)
    assert result.rowcount == 1, "a payment's row is never deleted"


async def payment_page(
    transaction: Transaction, *, business_id: str, which: PaymentFilter, page: PageRequest
) -> Page[Payment]:
    """Return a page of the business's payments, newest first."""
    if which.digest is not None:
        return await _PAYMENTS.read_with_pair(
            transaction, page, business_id=business_id, digest=which.digest
        )
    filters = {
        payments.c.user_id: which.user_id,
        payments.c.gateway: which.gateway,
        payments.c.status: which.status,
    }
    return await _PAYMENTS.read(
        transaction,
        page,
        equal={payments.c.business_id: business_id, payments.c.env: which.env, **filters},
        words=_WORDS if any(filters.values()) else None,  # ix_payments_newest has all payments
    )


def _of(business_id: str, payment_id: str) -> dict[str, object]:
    """Return the parameters of `_IS_PAYMENT`."""
    return {"of_business": business_id, "of_payment": payment_id}
