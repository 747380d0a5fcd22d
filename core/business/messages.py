"""Messages of businesses."""

from core.business.key_store import ApiKey
from core.business.store import Business
from core.messages import enum_value, env_value, timestamp
from core.money import Amount, money_message
from nivisco.payments.v1 import business_pb2 as pb

_AMOUNTS = ("max_amount", "max_amount_per_day", "used_today")


def business_message(business: Business) -> pb.Business:
    """Return the message of a business."""
    suspended_at = business.suspended_at
    return pb.Business(
        business_id=business.business_id,
        name=business.name,
        email=business.email,
        domain=business.domain,
        created_at=timestamp(business.created_at),
        updated_at=timestamp(business.updated_at),
        active=business.active,
        default_env=env_value(business.default_env),
        settle_receivables=business.settle_receivables,
        retry_days=business.dunning.retry_days,
        max_failed_cycles=business.dunning.max_failed_cycles,
        suspended_at=timestamp(suspended_at) if suspended_at else None,
    )


def api_key_message(key: ApiKey, used_minor: int = 0) -> pb.ApiKey:
    """Return the message of an API key, without the key. It has moved `used_minor` today."""
    message = pb.ApiKey(
        key_id=key.key_id,
        name=key.name,
        scopes=sorted(enum_value(pb.ApiKeyScope, scope) for scope in key.scopes),
        last4=key.last4,
        created_at=timestamp(key.created_at),
    )
    for name in ("last_used_at", "expires_at", "revoked_at", "replaced_at"):
        if (moment := getattr(key, name)) is not None:
            getattr(message, name).CopyFrom(timestamp(moment))
    if (caps := key.caps) is not None:
        used = used_minor if caps.max_minor_per_day is not None else None
        amounts = (caps.max_minor, caps.max_minor_per_day, used)
        for name, minor in zip(_AMOUNTS, amounts, strict=True):
            if minor is not None:
                getattr(message, name).CopyFrom(money_message(Amount(minor, caps.currency)))
    return message
