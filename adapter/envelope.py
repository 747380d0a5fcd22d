"""Reads a request's body within bounds and splits the envelope; it never calls the core."""

import asyncio
import re
from dataclasses import dataclass, field

import aiohttp

from adapter.catalogue import ACTION_KEY, API_KEY_KEY, BUSINESS_ID_KEY
from adapter.parsing import Ill, InvalidJson, parse_object
from core.client import Credentials

MAX_BODY_BYTES = 65_536
"""The architecture's bound on a request's body."""

CREDENTIAL_PATTERN = r"[!-~]{1,128}"
_CREDENTIAL = re.compile(CREDENTIAL_PATTERN)


class BodyTooLarge(Exception):
    """The body is longer than 64 KiB."""


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


async def read_body(
    content: aiohttp.StreamReader, content_length: int | None, *, timeout_seconds: float
) -> bytes:
    """Return the whole body, having read at most one byte more than the bound.

    Raises:
        BodyTooLarge: the body is longer than the bound, or says that it is.
        InvalidJson: the body broke off or did not arrive in time.
    """
    if content_length is not None and content_length > MAX_BODY_BYTES:
        raise BodyTooLarge
    parts: list[bytes] = []
    room = MAX_BODY_BYTES + 1
    try:
        async with asyncio.timeout(timeout_seconds):
            while part := await content.read(room):
                parts.append(part)
                room -= len(part)
                if not room:
                    raise BodyTooLarge
    except (TimeoutError, ConnectionError, aiohttp.ClientError, aiohttp.http.HttpProcessingError):
        raise InvalidJson from None
    return b"".join(parts)


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
    if isinstance(business_id, Ill) or isinstance(api_key, Ill):
        raise InvalidJson
    if business_id in (None, "") or api_key in (None, ""):
        raise CredentialsMissing
    credentials = Credentials(_credential(business_id), _credential(api_key))
    return Envelope(credentials, action, fields)


def _credential(value: object) -> str:
    if isinstance(value, str) and _CREDENTIAL.fullmatch(value):
        return value
    raise CredentialsMalformed
