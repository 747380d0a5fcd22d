"""Decisions about users, whom operators erase.

Cores of the version before need no stop: they write none, and read them by their subject only.

Phase: expand.
"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision = "0031_erase"
down_revision = "0028_replaced_keys"
branch_labels = None
depends_on = None

_SUBJECT = "ck_decisions_subject_is_known"
_SUBJECTS = ("payment", "recurring_job", "webhook_event", "refund", "wallet_hold")
_ACTION = "ck_decisions_action_is_known"
_ACTIONS = ("resolve", "retry", "release")


def _is_one_of(column: str, words: Sequence[str]) -> sa.TextClause:
    listed = ", ".join(f"'{word}'" for word in words)
    return sa.text(f"{column} IN ({listed})")


def _allow(subjects: Sequence[str], actions: Sequence[str]) -> None:
    with op.batch_alter_table("decisions") as batch:
        for name, column, words in (
            (_SUBJECT, "subject", subjects),
            (_ACTION, "action", actions),
        ):
            batch.drop_constraint(op.f(name), type_="check")
            batch.create_check_constraint(op.f(name), _is_one_of(column, words))


def upgrade() -> None:
    """Allow decisions about users."""
    _allow((*_SUBJECTS, "user"), (*_ACTIONS, "erase"))


def downgrade() -> None:
    """Allow them no longer. Fails if there are some."""
    _allow(_SUBJECTS, _ACTIONS)
