"""Reads a request's body within bounds and splits the envelope; it never calls the core."""

import re
from dataclasses import dataclass, field

from rpc.metadata import Credentials
from transcoding.actions import ACTION_KEY, API_KEY_KEY, BUSINESS_ID_KEY
from transcoding.parsing import InvalidJson, MalformedValue, parse_object

MAX_BODY_BYTES = 65_536
"""The architecture's bound on a request's body."""

CREDENTIAL_PATTERN = r"[!-~]{1,128}"
_CREDENTIAL = re.compile(CREDENTIAL_PATTERN)


class CredentialsMissing(Exception):
    """The envelope lacks `business_id` or `api_key`."""


class CredentialsMalformed(Exception):
    """A credential is of a form that no business can have, and that gRPC metadata may not carry."""


@dataclass(frozen=True, slots=True)
class Envelope:
    """A request taken apart; `action` and `fields` are as the client wrote them."""

    credentials: Credentials
    action: object
    fields: dict[str, object] = field(repr=False)


def read_envelope(body: bytes) -> Envelope:
    """Return the envelope that the body holds.

    Raises:
        InvalidJson: the body is no JSON object, or names a credential twice.
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
