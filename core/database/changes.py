"""Which writes of a transaction are changes for the audit trail: found where statements execute.

Every statement passes `Connection.execute`, so no service can forget to record what it changes. A
statement is looked at once, when it is compiled: which table it writes, and in which arguments the
keys and the written values are. Nothing is read for it.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from sqlalchemy import BinaryExpression, BindParameter, Column, Delete, Insert, Table, Update
from sqlalchemy.sql import operators, visitors
from sqlalchemy.sql.compiler import SQLCompiler

from core.caller import Origin

AUDITED: Final[Mapping[str, str]] = {
    "api_keys": "key_id",
    "authorize_credentials": "env",
    "businesses": "business_id",
    "cards": "card_id",
    "decisions": "decision_id",
    "keyring_canaries": "key_id",
    "payments": "payment_id",
    "recurring_jobs": "recurring_id",
    "recurring_logs": "log_id",
    "refunds": "refund_id",
    "stops": "what",
    "stripe_credentials": "env",
    "test_clocks": "env",
    "users": "user_id",
    "wallet_holds": "hold_id",
    "wallet_transactions": "transaction_id",
}
"""Tables whose changes are recorded, and the column that names a row within its business."""
NOT_AUDITED: Final[Mapping[str, str]] = {
    "audit_addresses": "the trail itself",
    "audit_chains": "the trail itself",
    "audit_events": "the trail itself",
    "audit_pending": "the trail itself",
    "gateway_customers": "follows from the card that is saved",
    "idempotency_records": "answers of requests whose effect is recorded",
    "metadata_pairs": "follow from their resource",
    "postings": "follow from their wallet transaction",
    "recurring_occurrences": "follow from their job, its log and its payments",
    "removed_cards": "what a deleted card leaves",
    "wallets": "follow from their wallet transactions and holds",
    "webhook_events": "what gateways say; what follows from it is recorded",
}
"""All other tables, and why."""
BOOKKEEPING: Final = frozenset(
    {
        *("answered", "api_key_used_at", "attempt", "card_saves", "card_saves_since", "checks"),
        *("due_at", "failed_looks"),
        *("fencing_token", "joinable", "last_used_at", "lease_owner", "leased_until", "look_at"),
        *("sent_at", "first_sent_at", "set_aside_at", "set_aside_error", "updated_at"),
    }
)
"""Columns about the work of cores, and counts of limits; an update of only them is not recorded."""
_BY_LEDGER: Final = "wallet_transactions"
"""The ledger writes it with other tables in one statement, and notes each movement itself."""
_WORDS: Final = {Insert: "created", Update: "updated", Delete: "deleted"}


class Change(NamedTuple):
    """A row that a transaction wrote."""

    table: str
    word: str
    """`created`, `updated` or `deleted`."""
    business_id: str
    subject_id: str
    """The row's id within its business; empty: several rows, which the statement does not name."""
    content: object
    """What was written, to make a keyed digest of."""
    origin: Origin | None = None
    """Who made it; None: the caller of the running task."""
    user_id: str | None = None
    """The user it is about, if the statement names it."""


@dataclass(frozen=True, slots=True)
class Written:
    """What a compiled statement writes, by the places of its arguments."""

    table: str
    word: str
    business: str | None
    subject: str | None
    user: str | None
    names: tuple[str, ...]
    """Of the parameters that are written."""

    def changes(self, values: Mapping[str, Any]) -> Iterator[Change]:
        """Yield the rows that an execution with these arguments writes."""
        business, subject = (values[each] if each else "" for each in (self.business, self.subject))
        user = values[self.user] if self.user else None
        content = tuple(values[name] for name in self.names)
        if isinstance(business, list):  # rows as an array for each column
            for place, of_business in enumerate(business):
                written = tuple(each[place] if isinstance(each, list) else each for each in content)
                of_user = user[place] if isinstance(user, list) else user
                yield self._change(of_business, subject[place], written, of_user)
        elif isinstance(subject, Sequence) and not isinstance(subject, str):
            for each in subject:
                yield self._change(business, each, content, user)
        else:
            yield self._change(business, str(subject), content, user)

    def _change(self, business_id: str, subject_id: str, content: object, user: object) -> Change:
        user_id = user if isinstance(user, str) else None
        return Change(self.table, self.word, business_id, subject_id, content, user_id=user_id)


def written_by(statement: object, columns: Sequence[str], compiled: SQLCompiler) -> Written | None:
    """Return what a statement writes that is to be recorded, or None.

    `columns` are the names of its parameters, which say what an update without values writes.
    """
    if not isinstance(statement, Insert | Update | Delete):
        return None
    table = statement.table
    if not isinstance(table, Table) or table.name not in AUDITED or table.name == _BY_LEDGER:
        return None
    names = frozenset(compiled.positiontup or ())
    places = _places(statement, table, names, compiled)
    written: dict[str, str | None] = {}
    if isinstance(statement, Update):
        values: Mapping[Any, Any] = statement._values or {}  # noqa: SLF001 - nothing public has them
        for column, value in values.items():
            name = column.name if isinstance(column, Column) else str(column)
            bound = compiled.bind_names.get(value) if isinstance(value, BindParameter) else None
            written[name] = bound or _named(name, names)
        written |= {name: name for name in columns if name in table.c and name in names}
        if BOOKKEEPING.issuperset(written):
            return None
    elif isinstance(statement, Insert):
        written |= {column.name: _named(column.name, names) for column in table.columns}
    business, subject = places.get("business_id"), places.get(AUDITED[table.name])
    return Written(
        table.name,
        _WORDS[Insert if isinstance(statement, Insert) else type(statement)],
        business,
        subject,
        places.get("user_id"),
        tuple(name for name in written.values() if name is not None),
    )


def _named(column: str, names: frozenset[str]) -> str | None:
    """Return the parameter with a column's value: its own name, or as core.database.bulk_sql's."""
    return next((name for name in (column, f"row_{column}") if name in names), None)


def _places(
    statement: Insert | Update | Delete,
    table: Table,
    names: frozenset[str],
    compiled: SQLCompiler,
) -> dict[str, str]:
    """Return the parameters that keys and user of the written rows are equal to, by column."""
    keys = ("business_id", AUDITED[table.name], "user_id")
    if isinstance(statement, Insert):
        found = {key: _named(key, names) for key in keys}
        return {key: name for key, name in found.items() if name is not None}
    places = {key: f"row_{key}" for key in keys if f"row_{key}" in names}
    for clause in statement._where_criteria:  # noqa: SLF001 - no public attribute has them
        for each in visitors.iterate(clause):
            if (
                isinstance(each, BinaryExpression)
                and each.operator in (operators.eq, operators.in_op)
                and isinstance(each.left, Column)
                and each.left.table is table
                and isinstance(each.right, BindParameter)
            ):
                places.setdefault(each.left.name, compiled.bind_names[each.right])
    return places
