"""Splits a request into credentials, action and fields."""

import re
from base64 import b64decode
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


class CredentialsDiffer(Exception):
    """The body has another credential than the header; `names` are the keys in the body."""

    def __init__(self, names: list[str]) -> None:
        super().__init__()
        self.names = names


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
    return _split(parse_object(body))


def read_action_request(body: bytes, action: str, authorization: str | None = None) -> Envelope:
    """Return the envelope of a request to the action's own path, whose body has its fields.

    The credentials are in the body, or in an `Authorization` header of HTTP Basic (RFC 7617); a
    header of another scheme is ignored. An empty body has no fields. `action` in the body is an
    unknown field, unless it is the same.

    Raises:
        InvalidJson: the body is not a JSON object, or contains a credential twice.
        CredentialsMissing: a credential is absent, null or empty.
        CredentialsMalformed: a credential is not 1 to 128 printable ASCII characters, or the header
            is not Base64 of two with a colon between.
        CredentialsDiffer: the body and the header have different credentials.
    """
    fields = parse_object(body or b"{}")
    basic = _basic_credentials(authorization)
    differing = [name for name, value in basic.items() if fields.get(name) not in (None, "", value)]
    if differing:
        raise CredentialsDiffer(differing)
    named = fields.get(ACTION_KEY)
    envelope = _split(fields | basic | {ACTION_KEY: action})
    if named not in (None, action):
        envelope.fields[ACTION_KEY] = named
    return envelope


def _basic_credentials(authorization: str | None) -> dict[str, str]:
    scheme, _, encoded = (authorization or "").partition(" ")
    if scheme.lower() != "basic":
        return {}
    try:
        decoded = b64decode(encoded.strip(), validate=True).decode()
    except ValueError:  # not Base64, or not UTF-8
        raise CredentialsMalformed from None
    business_id, colon, api_key = decoded.partition(":")
    if not colon:
        raise CredentialsMalformed
    return {BUSINESS_ID_KEY: business_id, API_KEY_KEY: api_key}


def _split(fields: dict[str, object]) -> Envelope:
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
