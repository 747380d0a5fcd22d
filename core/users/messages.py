"""Messages of users."""

from core.messages import gateway_value, timestamp
from core.metadata import metadata_of
from core.users.store import User
from nivisco.payments.v1 import types_pb2
from nivisco.payments.v1 import users_pb2 as pb


def user_message(user: User) -> pb.User:
    """Return the message of a user."""
    gateway = user.default_gateway
    return pb.User(
        user_id=user.user_id,
        name=user.name,
        email=user.email,
        created_at=timestamp(user.created_at),
        active=user.active,
        currency=user.currency,
        updated_at=timestamp(user.updated_at),
        default_gateway=gateway_value(gateway) if gateway else types_pb2.GATEWAY_UNSPECIFIED,
        metadata=metadata_of(user.metadata),
        suspended_at=timestamp(user.suspended_at) if user.suspended_at else None,
    )
