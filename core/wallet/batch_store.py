"""The two statements of a batch of movements: one reads and locks, one writes.

On PostgreSQL their parameters are an array for each column, so that one text serves any number of
rows. SQLite gets keys as JSON, and rows with executemany.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from sqlalchemy import (
    BigInteger,
    CompoundSelect,
    FromClause,
    Select,
    Table,
    Update,
    and_,
    cast,
    func,
    insert,
    literal_column,
    null,
    select,
    union_all,
    update,
)
from sqlalchemy.dialects import postgresql

from core.business.stop_store import stops_of_business
from core.database.bulk_rows import BulkRows, Row, types_of
from core.database.changes import Change
from core.database.schema import (
    idempotency_records,
    postings,
    users,
    wallet_transactions,
    wallets,
)
from core.database.transactions import Transaction
from core.idempotency.store import RECORD_COLUMNS, Record, RecordKey
from core.stops import Stops
from core.wallet.rules import Movement, Posting, WalletState

Owner = tuple[str, str, str]
"""Business id, user id and environment of a wallet."""
UserKey = tuple[str, str]
"""Business id and user id."""


class WalletUser(NamedTuple):
    """What a movement needs to know of a user."""

    active: bool
    currency: str
    is_suspended: bool
    is_stopped: bool
    """Whether an operator has stopped the movements of the user's business."""


class LockedWallet(NamedTuple):
    """A wallet, locked until the transaction ends."""

    wallet_id: str
    state: WalletState


@dataclass(frozen=True, slots=True)
class Found:
    """What exists of the users, wallets and idempotency records of a batch."""

    users: dict[UserKey, WalletUser] = field(default_factory=dict)
    wallets: dict[Owner, LockedWallet] = field(default_factory=dict)
    records: dict[RecordKey, Record] = field(default_factory=dict)
    locked_by_others: set[Owner] = field(default_factory=set)
    """Owners of wallets that exist and were not waited for."""


class Applied(NamedTuple):
    """A movement with its wallet after it and its postings."""

    movement: Movement
    wallet: WalletState
    postings: tuple[Posting, Posting]


_OWNER = ("business_id", "user_id", "env")
_RECORD_KEY = ("business_id", "key")
_OWNERS = BulkRows("owner", types_of(wallets, *_OWNER))
_CALLS = BulkRows("call", types_of(idempotency_records, *_RECORD_KEY))
_WALLET_COLUMNS = (*_OWNER, "wallet_id", "currency", "balance_minor", "version", "held_minor")
_USERS = select(
    *(users.c[name] for name in ("business_id", "user_id", "active", "currency", "suspended_at")),
    stops_of_business(users.c.business_id).label("stops"),
).subquery("users_and_stops")
_READ_COLUMNS = {
    each.name: each.type
    for each in (
        *(wallets.c[name] for name in _WALLET_COLUMNS),
        _USERS.c.active,
        _USERS.c.suspended_at,
        _USERS.c.stops,
        idempotency_records.c.key,
        *RECORD_COLUMNS,
    )
}


def _kind(kind: str, rows: FromClause, keys: FromClause, key: Sequence[str]) -> Select[Any]:
    """Return the query of `rows` by `keys`, with NULL for the columns of other kinds."""
    columns = (
        rows.c[name] if name in rows.c else cast(null(), type_).label(name)
        for name, type_ in _READ_COLUMNS.items()
    )
    return (
        select(literal_column(f"'{kind}'").label("kind"), *columns)
        .select_from(rows)
        .join(keys, and_(*(rows.c[name] == keys.c[name] for name in key)))
    )


def _read(owners: FromClause, calls: FromClause, *, skip_locked: bool) -> CompoundSelect[Any]:
    """Return the statement that locks wallets, and reads their users and idempotency records.

    Wallets are locked in the order of their keys, which never change, so that two batches cannot
    deadlock. FOR NO KEY UPDATE, so that inserts of rows that refer to the wallet do not wait.
    After a wait for a lock PostgreSQL reads the wallet as it is then. All else is as it was when
    the statement began: an idempotency record that was stored since is found by `_WRITE`.
    """
    locked = (
        _kind("locked", wallets, owners, _OWNER)
        .order_by(wallets.c.business_id, wallets.c.wallet_id)
        .with_for_update(of=wallets, key_share=True, skip_locked=skip_locked)
        .cte("locked")
    )
    existing = [_kind("existing", wallets, owners, _OWNER)] if skip_locked else []
    return union_all(
        select(locked),
        *existing,
        _kind("user", _USERS, owners, _OWNER[:2]),
        _kind("record", idempotency_records, calls, _RECORD_KEY),
    )


_READ = {
    (dialect, skip_locked): _read(owners, calls, skip_locked=skip_locked)
    for skip_locked in (False, True)
    for dialect, owners, calls in (
        ("postgresql", _OWNERS.arrays(), _CALLS.arrays()),
        ("sqlite", _OWNERS.json(), _CALLS.json()),
    )
}


async def read(
    transaction: Transaction,
    found: Found,
    owners: Collection[Owner],
    calls: Collection[RecordKey],
    *,
    skip_locked: bool = False,
) -> None:
    """Lock the wallets of `owners`, and add what exists of them and of `calls` to `found`.

    `skip_locked` does not wait for wallets that others have locked.
    """
    connection = transaction.connection
    owner_rows = [dict(zip(_OWNER, each, strict=True)) for each in owners]
    call_rows = [dict(zip(_RECORD_KEY, each, strict=True)) for each in calls]
    if connection.dialect.name == "postgresql":
        parameters = _OWNERS.as_arrays(owner_rows) | _CALLS.as_arrays(call_rows)
    else:
        parameters = _OWNERS.as_json(owner_rows) | _CALLS.as_json(call_rows)
    statement = _READ[connection.dialect.name, skip_locked]
    for row in await connection.execute(statement, parameters):
        owner = (row.business_id, row.user_id, row.env)
        match row.kind:
            case "locked":
                state = WalletState(
                    row.env, row.currency, row.balance_minor, row.version, row.held_minor
                )
                found.wallets[owner] = LockedWallet(row.wallet_id, state)
            case "existing":
                found.locked_by_others.add(owner)
            case "user":
                found.users[owner[:2]] = WalletUser(
                    row.active,
                    row.currency,
                    row.suspended_at is not None,
                    Stops.of(row.stops).refuse_movement,
                )
            case _:
                found.records[row.business_id, row.key] = Record(*row[-len(RECORD_COLUMNS) :])
    found.locked_by_others.difference_update(found.wallets)


_CHANGED = ("balance_minor", "version", "updated_at")
_STATES = BulkRows(
    "wallet",
    types_of(wallets, "business_id", "wallet_id", *_CHANGED) | {"read_version": BigInteger()},
)
_MOVEMENTS = BulkRows("movement", types_of(wallet_transactions))
_POSTINGS = BulkRows("posting", types_of(postings))
_RECORDS = BulkRows("record", types_of(idempotency_records))


def _update_wallets(state: Mapping[str, Any]) -> Update:
    """Return the update of wallets that are as they were read."""
    return (
        update(wallets)
        .where(
            wallets.c.business_id == state["business_id"],
            wallets.c.wallet_id == state["wallet_id"],
            wallets.c.version == state["read_version"],
        )
        .values({name: state[name] for name in _CHANGED})
    )


def _insert_arrays(table: Table, rows: BulkRows) -> postgresql.Insert:
    values = rows.arrays()
    return postgresql.insert(table).from_select(list(values.c.keys()), select(values))


def _write() -> Select[int, int]:
    """Return PostgreSQL's statement that writes a batch.

    It returns the number of wallets changed, and of idempotency records inserted. The insert of a
    record waits for that of the same key by a transaction that has not ended.
    """
    states = _STATES.arrays()
    updated = _update_wallets(dict(states.c.items())).returning(wallets.c.version).cte("updated")
    inserted = (
        _insert_arrays(idempotency_records, _RECORDS)
        .on_conflict_do_nothing()
        .returning(idempotency_records.c.key)
        .cte("inserted")
    )
    return select(
        *(select(func.count()).select_from(each).scalar_subquery() for each in (updated, inserted))
    ).add_cte(
        _insert_arrays(wallet_transactions, _MOVEMENTS).cte("moved"),
        _insert_arrays(postings, _POSTINGS).cte("posted"),
    )


_WRITE = _write()
_UPDATE_WALLETS = _update_wallets(_STATES.one())
_INSERT_MOVEMENTS, _INSERT_POSTINGS, _INSERT_RECORDS = (
    insert(table) for table in (wallet_transactions, postings, idempotency_records)
)


async def write(
    transaction: Transaction, applied: Sequence[Applied], records: Sequence[Row]
) -> bool:
    """Write movements, their postings, the last state of each wallet, and idempotency records.

    `records` are in the order of their keys. Returns whether all are new: otherwise another run of
    a call was faster, and the transaction must not commit.

    Raises:
        IntegrityError: a row violates a constraint.
    """
    connection = transaction.connection
    states = _states(transaction, applied)
    movements = [_movement_row(transaction, each) for each in applied]
    connection.changes += [_change(each) for each in applied]
    sides = [_posting_row(each, posting) for each in applied for posting in each.postings]
    if connection.dialect.name == "postgresql":
        parameters = (
            _STATES.as_arrays(states)
            | _MOVEMENTS.as_arrays(movements)
            | _POSTINGS.as_arrays(sides)
            | _RECORDS.as_arrays(records)
        )
        updated, inserted = (await connection.execute(_WRITE, parameters)).one()
    else:
        updated, inserted = 0, len(records)
        if states:
            result = await connection.execute(_UPDATE_WALLETS, _STATES.as_many(states))
            updated = result.rowcount
            await connection.execute(_INSERT_MOVEMENTS, movements)
            await connection.execute(_INSERT_POSTINGS, sides)
        if records:  # no other transaction runs, so none conflicts
            await connection.execute(_INSERT_RECORDS, records)
    assert updated == len(states), "each wallet is as it was read, because it is locked"
    return bool(inserted == len(records))


def _states(transaction: Transaction, applied: Sequence[Applied]) -> list[Row]:
    """Return the last state of each wallet, and the version that it was read with."""
    read: dict[tuple[str, str], int] = {}
    last: dict[tuple[str, str], WalletState] = {}
    for each in applied:
        key = (each.movement.business_id, each.movement.wallet_id)
        read.setdefault(key, each.wallet.version - 1)
        last[key] = each.wallet
    return [
        {
            "business_id": key[0],
            "wallet_id": key[1],
            "read_version": read[key],
            "balance_minor": state.balance_minor,
            "version": state.version,
            "updated_at": transaction.now,
        }
        for key, state in last.items()
    ]


def _movement_row(transaction: Transaction, each: Applied) -> Row:
    movement = each.movement
    return {
        "business_id": movement.business_id,
        "transaction_id": movement.transaction_id,
        "wallet_id": movement.wallet_id,
        "version": each.wallet.version,
        "type": movement.direction.value,
        "amount_minor": movement.amount_minor,
        "balance_after_minor": each.wallet.balance_minor,
        "source": movement.source,
        "reason": movement.reason,
        "description": movement.description,
        "payment_id": movement.payment_id,
        "taken_before_minor": movement.taken_before_minor,
        "created_at": transaction.now,
        "transfer_id": movement.transfer_id,
        "other_user_id": movement.other_user_id,
    }


def _change(each: Applied) -> Change:
    movement, wallet = each.movement, each.wallet
    content = (
        movement.wallet_id,
        wallet.version,
        movement.direction.value,
        movement.amount_minor,
        wallet.balance_minor,
        *(movement.source, movement.reason, movement.description, movement.payment_id),
        *(movement.transfer_id, movement.other_user_id),
    )
    return Change(
        wallet_transactions.name,
        "created",
        movement.business_id,
        movement.transaction_id,
        content,
        movement.origin,
    )


def _posting_row(each: Applied, posting: Posting) -> Row:
    return {
        "business_id": each.movement.business_id,
        "transaction_id": each.movement.transaction_id,
        "account": posting.account,
        "amount_minor": posting.amount_minor,
        "currency": posting.currency,
    }
