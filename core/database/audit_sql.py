"""The statements that store the audit rows of a transaction with its commit."""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from sqlalchemy import insert

from core.database.schema import audit_pending

INSERT: Final = insert(audit_pending)
_TIME: Final = audit_pending.c.occurred_at.name
_TEXTS: Final = [column.name for column in audit_pending.columns if column.name != _TIME]
_NAMES: Final = ", ".join(_TEXTS)
_TYPES: Final = ", ".join(f"{name} text" for name in _TEXTS)
_STATEMENT: Final = "nivisco_audit"
PREPARE: Final = (
    f"PREPARE {_STATEMENT}(json, timestamptz) AS"  # noqa: S608
    f" INSERT INTO {audit_pending.name} ({_NAMES}, {_TIME})"
    f" SELECT {_NAMES}, $2 FROM json_to_recordset($1) AS each({_TYPES})"
)
"""PostgreSQL's statement, prepared once in a session. It names only our own columns."""


def execute_text(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return the text that executes it with rows of one time.

    The rows are one literal of JSON in ASCII. It contains no quotation mark, which JSON can write
    as an escape, so that no value can end the literal.
    """
    moment: datetime = rows[0][_TIME]
    texts = [{name: row[name] for name in _TEXTS} for row in rows]
    literal = json.dumps(texts, separators=(",", ":")).replace("'", "\\u0027")
    return f"EXECUTE {_STATEMENT}('{literal}', '{moment.isoformat()}')"
