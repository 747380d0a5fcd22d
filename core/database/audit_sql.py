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
_INTO: Final = f"INSERT INTO {audit_pending.name} ({_NAMES}, {_TIME}) SELECT {_NAMES}, "
_FROM: Final = f" AS each({_TYPES})"


def insert_text(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return PostgreSQL's text that inserts rows of one time.

    Nothing is prepared: a pooler may give each transaction another session, and knows only what
    the protocol prepares. The rows are one literal of JSON in ASCII between dollar signs, whatever
    standard_conforming_strings is. It contains no dollar sign, which JSON can write as an escape,
    so that no value can end the literal.
    """
    moment: datetime = rows[0][_TIME]
    texts = [{name: row[name] for name in _TEXTS} for row in rows]
    literal = json.dumps(texts, separators=(",", ":")).replace("$", "\\u0024")
    return f"{_INTO}timestamptz '{moment.isoformat()}' FROM json_to_recordset($${literal}$$){_FROM}"
