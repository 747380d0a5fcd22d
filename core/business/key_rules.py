"""Rules of API keys: which one a caller has, and what a business may do with its keys. Pure."""

import hmac
from collections.abc import Collection, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from google.type import money_pb2

from core.business.key_store import ApiKey, Found
from core.caller import ALL_SCOPES, DEFAULT_KEY_ID, Caller
from core.errors import InvalidFields, Reason, Refusal
from core.limits import KeyCaps
from core.money import amount_from_message
from core.security.secrets import hash_api_key
from core.stops import NOTHING

API_KEYS_MAX = 100
"""How many API keys a business has besides the default one, those that ended included."""
_NO_KEY_HASH = hash_api_key("no business has this key")


def caller_of(found: Found | None, presented_hash: str, now: datetime) -> Caller | None:
    """Return the caller whose API key has this hash, as `business_by_key` found it; or None.

    An unknown business takes as long as a wrong key, and either as long as one that has ended.
    """
    business, key, stops = found or (None, None, NOTHING)
    default_hash = business.api_key_hash if business is not None else _NO_KEY_HASH
    key_hash = key.key_hash if key is not None else _NO_KEY_HASH
    is_default = hmac.compare_digest(presented_hash, default_hash)
    is_other = hmac.compare_digest(presented_hash, key_hash)
    if business is None or not business.active:
        return None
    if is_default:
        key_id, scopes, expires_at, caps = DEFAULT_KEY_ID, ALL_SCOPES, None, None
    elif is_other and key is not None and key.works_at(now):
        key_id, scopes, expires_at, caps = key.key_id, key.scopes, key.expires_at, key.caps
    else:
        return None
    return Caller(
        business_id=business.business_id,
        default_env=business.default_env,
        api_key_hash=presented_hash,
        settles_receivables=business.settle_receivables,
        dunning=business.dunning,
        is_suspended=business.suspended_at is not None,
        limits=business.limits,
        stops=stops,
        key_id=key_id,
        scopes=scopes,
        key_expires_at=expires_at,
        caps=caps,
    )


def check_new_key(scopes: Sequence[str | None], expires_at: datetime | None, now: datetime) -> None:
    """Check the scopes and the expiry time of a new key; None is a scope that does not exist.

    Raises:
        InvalidFields: a scope is unknown or repeated, or the key would be expired.
    """
    if not ALL_SCOPES.issuperset(scopes):
        raise InvalidFields.of("scopes", "must be of read, charge, refund and admin")
    if len(set(scopes)) < len(scopes):
        raise InvalidFields.of("scopes", "must have each scope once")
    if expires_at is not None and expires_at <= now:
        raise InvalidFields.of("expires_at", "must be in the future")


def new_caps(
    max_amount: money_pb2.Money | None,
    max_amount_per_day: money_pb2.Money | None,
    scopes: Collection[str | None],
) -> KeyCaps | None:
    """Return the caps of a new key, None if it has none.

    Raises:
        InvalidFields: they name no currency, or two, or the key could create others without caps.
    """
    wanted = {"max_amount": max_amount, "max_amount_per_day": max_amount_per_day}
    given = {name: money for name, money in wanted.items() if money is not None}
    if not given:
        return None
    currencies = {money.currency_code.lower() for money in given.values()}
    if "" in currencies or len(currencies) > 1:
        raise InvalidFields.of(f"{next(iter(given))}.currency_code", "is required, one for both")
    if "admin" in scopes:
        raise InvalidFields.of("scopes", "must be without admin, which creates keys without caps")
    (currency,) = currencies
    minor = {
        name: amount_from_message(money, currency, field=name).minor
        for name, money in given.items()
    }
    return KeyCaps(currency, minor.get("max_amount"), minor.get("max_amount_per_day"))


def keys_to_delete(keys: Collection[ApiKey], now: datetime) -> list[str]:
    """Return the ids of the keys that give their room to a new one, the oldest ended ones.

    Raises:
        Refusal: API_KEY_STATE if all keys work.
    """
    others = [key for key in keys if key.key_id != DEFAULT_KEY_ID]
    surplus = len(others) - API_KEYS_MAX + 1
    if surplus <= 0:
        return []
    ended = sorted((k for k in others if not k.works_at(now)), key=lambda key: key.created_at)
    if len(ended) < surplus:
        raise key_state(f"The business has {API_KEYS_MAX} API keys besides the default one")
    return [key.key_id for key in ended[:surplus]]


def in_grace(key: ApiKey, key_id: str, now: datetime, grace: timedelta) -> ApiKey:
    """Return a key that was replaced now as a key of its own, which works for `grace` more."""
    ends_at = now + grace
    if key.expires_at is not None:
        ends_at = min(ends_at, key.expires_at)
    return replace(key, key_id=key_id, replaced_at=now, replaced_by=key.key_id, expires_at=ends_at)


def key_state(message: str) -> Refusal:
    """Return the refusal of a change that the state of the business's API keys does not allow."""
    return Refusal(Reason.ERROR_REASON_API_KEY_STATE, message)
