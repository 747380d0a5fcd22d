"""Makes the audit rows of a transaction from what it changed."""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

from core.caller import current_origin
from core.database.changes import Change

Digest = Callable[[str, bytes], str]
"""Returns the keyed digest, 64 hexadecimal digits, of what a business's change wrote."""


def audit_rows(
    changes: Sequence[Change], transition: str, now: datetime, first: str, digest: Digest
) -> list[dict[str, Any]]:
    """Return the rows of `audit_pending`, one for each row that was written.

    `transition` is the name of the commit. That of an action's single transaction is its method,
    which the action says already. The ids of a transaction's rows begin with `first`.
    """
    current = current_origin()
    step = transition if "." in transition else ""
    rows = []
    for number, change in enumerate(changes):
        origin = change.origin or current
        assert change.business_id, f"a statement that writes {change.table} names its business"
        content = repr((change.table, change.word, change.content)).encode()
        rows.append(
            {
                "business_id": change.business_id,
                "event_id": f"{first}{number:04X}",
                "occurred_at": now,
                "actor": origin.actor,
                "actor_id": origin.actor_id,
                "action": origin.action,
                "transition": step,
                "change": change.word,
                "subject": change.table,
                "subject_id": change.subject_id,
                "request_id": origin.request_id,
                "after_hash": digest(change.business_id, content),
                "user_id": change.user_id,
                "address": origin.address or None,
            }
        )
    return rows
