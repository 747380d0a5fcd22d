"""Splits a request body into credentials, action and fields."""

import re
from dataclasses import dataclass, field

from rpc.metadata import Credentials
from transcoding.actions import ACTION_KEY, API_KEY_KEY, BUSINESS_ID_KEY
from transcoding.parsing import InvalidJson, MalformedValue, parse_object

MAX_BODY_BYTES = 65_536
"""The largest request body."""

IDEMPOTENCY_HEADER = "Idempotency-Key"
"""The HTTP header that means the same as the field `idempotency_key`."""
CREDENTIAL_PATTERN = r"[!-~]{1,128}"
_CREDENTIAL = re.compile(CREDENTIAL_PATTERN)


class CredentialsMissing(Exception):
    """The envelope lacks `business_id` or `api_key`."""


class CredentialsMalformed(Exception):
    """A credential has characters or a length that no business has and gRPC metadata rejects."""


@dataclass(frozen=True, slots=True)
class Envelope:
    """A parsed request body; `action` and `fields` are not validated."""

    credentials: Credentials
    action: object
    fields: dict[str, object] = field(repr=False)


def read_envelope(body: bytes) -> Envelope:
    """Return the envelope in a request body.

    Raises:
        InvalidJson: the body is not a JSON object, or contains a credential twice.
        CredentialsMissing: a credential is absent, null or empty.
        CredentialsMalformed: a credential is not 1 to 128 printable ASCII characters.
    """
    fields = parse_object(body)
    business_id = fields.pop(BUSINESS_ID_KEY, None)
    api_key = fields.pop(API_KEY_KEY, None)
    action = fields.pop(ACTION_KEY, None)
    if isinstance(business_id, MalformedValue) or isinstance(api_key, MalformedValue):
        raise InvalidJson
    if business_id in (None, "") or api_key in (None, ""):
        raise CredentialsMissing
    credentials = Credentials(_credential(business_id), _credential(api_key))
    return Envelope(credentials, action, fields)


def _credential(value: object) -> str:
    if isinstance(value, str) and _CREDENTIAL.fullmatch(value):
        return value
    raise CredentialsMalformed
