"""Generates ids. Most have a prefix for their kind and sort by time of creation."""

import secrets
import uuid
from datetime import UTC, datetime

from ulid import ULID

ADMIN_BUSINESS_ID = "ADMIN-BUSINESS"

_CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_PAYMENT_EPOCH = datetime(2024, 1, 1, tzinfo=UTC)
_PAYMENT_CHARACTERS = 16


def new_business_id() -> str:
    """Return a random UUID (RFC 9562, version 4)."""
    return str(uuid.uuid4())


def new_api_key_id() -> str:
    """Return `KEY-` and a ULID."""
    return f"KEY-{ULID()}"


def new_user_id() -> str:
    """Return `USR-` and a ULID."""
    return f"USR-{ULID()}"


def new_wallet_id() -> str:
    """Return `WAL-` and a ULID."""
    return f"WAL-{ULID()}"


def new_card_id() -> str:
    """Return `CRD-` and a ULID."""
    return f"CRD-{ULID()}"


def new_wallet_transaction_id() -> str:
    """Return `WTX-` and a ULID."""
    return f"WTX-{ULID()}"


def new_transfer_id() -> str:
    """Return `TRF-` and a ULID."""
    return f"TRF-{ULID()}"


def new_hold_id() -> str:
    """Return `HLD-` and a ULID."""
    return f"HLD-{ULID()}"


def new_recurring_id() -> str:
    """Return `REC-` and a ULID."""
    return f"REC-{ULID()}"


def new_recurring_log_id() -> str:
    """Return `LOG-` and a ULID."""
    return f"LOG-{ULID()}"


def new_decision_id() -> str:
    """Return `DEC-` and a ULID."""
    return f"DEC-{ULID()}"


def new_audit_event_id(now: datetime, last: str) -> str:
    """Return `AUD-` and a ULID of `now` that sorts after `last`, which is one or empty."""
    if (new := f"AUD-{ULID.from_datetime(now)}") > last:
        return new
    return f"AUD-{ULID.from_int(int(ULID.from_str(last.removeprefix('AUD-'))) + 1)}"


def new_request_id() -> str:
    """Return a ULID, for a request without an id."""
    return str(ULID())


def new_refund_id(now: datetime) -> str:
    """Return `REF-` and 16 Crockford characters, as `new_payment_id` does for the same reason."""
    return f"REF-{_sixteen_characters(now)}"


def new_payment_id(now: datetime) -> str:
    """Return `PAY-` and 16 Crockford characters: 40 bits of milliseconds, 40 random bits.

    Authorize.Net's invoiceNumber holds no more than these 20 characters. The milliseconds last
    until 2058. Two payments of one millisecond collide with a probability of 2**-40: the row is
    UNIQUE, and the caller retries.
    """
    return f"PAY-{_sixteen_characters(now)}"


def _sixteen_characters(now: datetime) -> str:
    milliseconds = int((now - _PAYMENT_EPOCH).total_seconds() * 1000) & (2**40 - 1)
    bits = milliseconds << 40 | secrets.randbits(40)
    characters = (
        _CROCKFORD[bits >> 5 * position & 31] for position in reversed(range(_PAYMENT_CHARACTERS))
    )
    return "".join(characters)
