"""Authenticates a request by its secret key (https://docs.stripe.com/keys).

A key belongs to one account and one mode, test or live. The account is, in this order:

1. the one that the control endpoint registered the key for;
2. `acct_<part>` for a key `sk_test_<part>_<rest>`: `sk_test_shop1_a` and `sk_live_shop1_b` both
   belong to `acct_shop1`;
3. `acct_` and 16 hexadecimal digits of the key's SHA-256.

As at Stripe, test and live data of one account are separate. Keys are never stored or logged in
clear: the store has SHA-256 digests, messages the masked form.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable
from typing import Final

from sandbox.books import KeyRecord, Scope, hash_key
from sandbox.stripe import errors

_SECRET_KEY: Final = re.compile(r"(?:sk|rk)_(test|live)_([A-Za-z0-9_]{1,247})")
_PUBLISHABLE_KEY: Final = re.compile(r"pk_(test|live)_([A-Za-z0-9_]{1,247})")
_ACCOUNT: Final = re.compile(r"acct_[A-Za-z0-9]{1,64}")
_UNMASKED_START: Final = 8
_UNMASKED_END: Final = 4


FindKey = Callable[[str], KeyRecord | None]


def is_secret_key(key: str) -> bool:
    """Return whether the text has the form of a secret or restricted key."""
    return _SECRET_KEY.fullmatch(key) is not None


def is_live(key: str) -> bool:
    """Return whether a secret or restricted key is of live mode."""
    found = _SECRET_KEY.fullmatch(key)
    return found is not None and found[1] == "live"


def is_account(account: str) -> bool:
    """Return whether the text has the form of an account id."""
    return _ACCOUNT.fullmatch(account) is not None


def mask(key: str) -> str:
    """Return the key as Stripe's messages show it: its mode and last four characters."""
    if len(key) <= _UNMASKED_START + _UNMASKED_END:
        return "*" * len(key)
    hidden = len(key) - _UNMASKED_START - _UNMASKED_END
    return key[:_UNMASKED_START] + "*" * hidden + key[-_UNMASKED_END:]


def get_account(key: str) -> str:
    """Return the account of a key that is not registered (rules 2 and 3 above)."""
    found = _SECRET_KEY.fullmatch(key) or _PUBLISHABLE_KEY.fullmatch(key)
    part, underscore, rest = found[2].partition("_") if found else ("", "", "")
    if part and underscore and rest:
        return f"acct_{part}"
    return f"acct_{hash_key(key)[:16]}"


def read_publishable_key(authorization: str | None) -> Scope | None:
    """Return the account and mode of a publishable key, or None if it is none."""
    key = (authorization or "").removeprefix("Bearer ").strip()
    found = _PUBLISHABLE_KEY.fullmatch(key)
    return Scope(get_account(key), livemode=found[1] == "live") if found else None


def authenticate(authorization: str | None, stripe_account: str | None, find: FindKey) -> Scope:
    """Return the account and mode of the request's key; raises Stripe's 401 or 403."""
    key = _read_key(authorization)
    if key.startswith("pk_"):
        raise errors.unauthenticated(
            "This API call cannot be made with a publishable API key. Please use a secret API "
            "key. You can find a list of your API keys at "
            "https://dashboard.stripe.com/account/apikeys.",
            code="secret_key_required",
        )
    found = _SECRET_KEY.fullmatch(key)
    if not found:
        raise errors.unauthenticated(f"Invalid API Key provided: {mask(key)}")
    record = find(hash_key(key))
    if record is not None and record.revoked:
        raise errors.unauthenticated(
            f"Expired API Key provided: {mask(key)}", code="api_key_expired"
        )
    account = record.account if record is not None else get_account(key)
    if stripe_account and stripe_account != account:
        raise errors.account_invalid(mask(key), stripe_account[:64])
    return Scope(account, livemode=found[1] == "live")


def _read_key(authorization: str | None) -> str:
    """Return the Bearer token, or the user name of Basic credentials."""
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
