"""Messages of businesses."""

from core.business.store import Business
from core.messages import env_value, timestamp
from nivisco.payments.v1 import business_pb2 as pb


def business_message(business: Business) -> pb.Business:
    """Return the message of a business."""
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
    )
