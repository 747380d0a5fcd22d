"""Who asks: a secret key opens one account, in test or live mode (https://docs.stripe.com/keys).

Which account, in this order:

1. the one that the control endpoint registered the key for;
2. `acct_<part>`, where the key reads `sk_test_<part>_<rest>`: so `sk_test_shop1_a` and
   `sk_live_shop1_b` both open `acct_shop1`;
3. otherwise one of the key's own, `acct_` and 16 hexadecimal digits of the key's SHA-256.

Test and live data of one account are kept apart, as Stripe does. Keys are never stored or logged
in clear: the books know SHA-256 digests, messages the masked form.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from sandbox.stripe import errors as errors

_SECRET_KEY: Final = re.compile(r"(?:sk|rk)_(test|live)_([A-Za-z0-9_]{1,247})")
_ACCOUNT: Final = re.compile(r"acct_[A-Za-z0-9]{1,64}")
_SHOWN_AT_START: Final = 8
_SHOWN_AT_END: Final = 4


@dataclass(frozen=True)
class Scope:
    """Where an object lives: no request sees another account or the other mode."""

    account: str
    livemode: bool


@dataclass(frozen=True)
class KeyRecord:
    """What the control endpoint said about a key."""

    account: str
    revoked: bool


FindKey = Callable[[str], KeyRecord | None]


def digest_of(key: str) -> str:
    """The form in which a key may be stored."""
    return hashlib.sha256(key.encode()).hexdigest()


def is_secret_key(key: str) -> bool:
    """Whether the text has the form of a secret or restricted key."""
    return _SECRET_KEY.fullmatch(key) is not None


def is_account(account: str) -> bool:
    """Whether the text has the form of an account's id."""
    return _ACCOUNT.fullmatch(account) is not None


def masked(key: str) -> str:
    """The key as Stripe's messages show it: its mode and last four characters."""
    if len(key) <= _SHOWN_AT_START + _SHOWN_AT_END:
        return "*" * len(key)
    hidden = len(key) - _SHOWN_AT_START - _SHOWN_AT_END
    return key[:_SHOWN_AT_START] + "*" * hidden + key[-_SHOWN_AT_END:]


def account_of(key: str) -> str:
    """The account that a key opens when nobody registered it for another."""
    found = _SECRET_KEY.fullmatch(key)
    part, underscore, rest = found[2].partition("_") if found else ("", "", "")
    if part and underscore and rest:
        return f"acct_{part}"
    return f"acct_{digest_of(key)[:16]}"


def authenticate(authorization: str | None, stripe_account: str | None, find: FindKey) -> Scope:
    """The scope that the request's headers open; raises Stripe's 401 or 403."""
    key = _presented_key(authorization)
    if key.startswith("pk_"):
        raise errors.unauthenticated(
            "This API call cannot be made with a publishable API key. Please use a secret API "
            "key. You can find a list of your API keys at "
            "https://dashboard.stripe.com/account/apikeys.",
            code="secret_key_required",
        )
    found = _SECRET_KEY.fullmatch(key)
    if not found:
        raise errors.unauthenticated(f"Invalid API Key provided: {masked(key)}")
    record = find(digest_of(key))
    if record is not None and record.revoked:
        raise errors.unauthenticated(
            f"Expired API Key provided: {masked(key)}", code="api_key_expired"
        )
    account = record.account if record is not None else account_of(key)
    if stripe_account and stripe_account != account:
        raise errors.account_invalid(masked(key), stripe_account[:64])
    return Scope(account, livemode=found[1] == "live")


def _presented_key(authorization: str | None) -> str:
    """The key in a Bearer header, or the user name of a Basic one."""
    scheme, _, credentials = (authorization or "").partition(" ")
    credentials = credentials.strip()
    if not credentials:
        raise errors.no_key()
    if scheme.lower() == "bearer":
        return credentials
    if scheme.lower() == "basic":
        try:
            key = base64.b64decode(credentials, validate=True).decode().partition(":")[0]
        except (binascii.Error, UnicodeDecodeError):
            raise errors.unauthenticated("Invalid basic credentials provided.") from None
        if key:
            return key
    raise errors.no_key()
