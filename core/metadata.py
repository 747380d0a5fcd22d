"""Metadata of resources: pairs of strings that belong to the business. No I/O.

They are stored as JSON text with sorted keys, so that equal ones are equal texts. A list finds the
resources with a pair by its digest. The limits of keys and values are Stripe's
(https://docs.stripe.com/metadata); the schema has them.
"""

import hashlib
import json
from collections.abc import Mapping
from enum import StrEnum
from typing import Final

from core.errors import FieldProblem, InvalidFields

RESERVED_PREFIX: Final = "nivisco_"
"""Begins the keys that we send to gateways ourselves."""


_DIGEST_DIGITS = 32
"""128 bits: no two pairs of a business are the same by chance."""


class Kind(StrEnum):
    """Kind of a resource with metadata."""

    USER = "user"
    PAYMENT = "payment"
    REFUND = "refund"
    JOB = "recurring_job"
    HOLD = "wallet_hold"


def stored_metadata(pairs: Mapping[str, str], path: str = "metadata") -> str | None:
    """Return the pairs of a request as stored, the same for the same pairs; None if it has none.

    Raises:
        InvalidFields: a key is reserved. `path` is the field's.
    """
    reserved = [key for key in sorted(pairs) if key.startswith(RESERVED_PREFIX)]
    if reserved:
        problem = f"the key must not begin with {RESERVED_PREFIX}"
        raise InvalidFields([FieldProblem(f"{path}.{key}", problem) for key in reserved])
    if not pairs:
        return None
    return json.dumps(dict(pairs), sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def metadata_of(stored: str | None) -> dict[str, str]:
    """Return the pairs of a stored text, by key."""
    return dict(json.loads(stored)) if stored else {}


def digests_of(kind: Kind, env: str | None, stored: str | None) -> list[str]:
    """Return the digest of each stored pair of a resource."""
    return [digest_of(kind, env, key, value) for key, value in metadata_of(stored).items()]


def digest_of(kind: Kind, env: str | None, key: str, value: str) -> str:
    """Return what finds the resources of a kind and environment with a pair. Users have no env."""
    text = json.dumps([kind, env, key, value])
    return hashlib.sha256(text.encode()).hexdigest()[:_DIGEST_DIGITS]


def listed_digest(
    kind: Kind, env: str | None, pairs: Mapping[str, str], **others: object
) -> str | None:
    """Return the digest of the one pair that a list asks for; None if it asks for none.

    Raises:
        InvalidFields: it also has one of the `others`, filters that the index of pairs lacks.
    """
    if not pairs:
        return None
    given = [name for name, value in others.items() if value]
    if given:
        raise InvalidFields.of("metadata", f"must not be given together with {given[0]}")
    ((key, value),) = pairs.items()
    return digest_of(kind, env, key, value)
