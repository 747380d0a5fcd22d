"""Refusals of the use cases of cards."""

from core.errors import RETRY_SECONDS, InvalidFields, Reason, Refusal
from core.gateways.gateway import (
    AuthenticationNeeded,
    CardDeclined,
    GatewayError,
    GatewayRefused,
    GatewayUnavailable,
)


def card_not_found() -> Refusal:
    """Return the refusal of a card that the business does not have."""
    return Refusal(Reason.ERROR_REASON_CARD_NOT_FOUND, "Card not found")


def refusal_of(error: GatewayError) -> Refusal:
    """Return the refusal of a failed gateway call other than a charge."""
    match error:
        case CardDeclined():
            return Refusal(
                Reason.ERROR_REASON_CARD_DECLINED,
                error.message,
                metadata={"decline_code": error.decline_code},
            )
        case AuthenticationNeeded():
            return Refusal(
                Reason.ERROR_REASON_AUTHENTICATION_REQUIRED,
                error.message,
                metadata={
                    "transaction_id": error.setup_id,
                    "client_secret": error.client_secret,
                },
            )
        case GatewayRefused(field=str() as field):
            return InvalidFields.of(field, error.message)
        case GatewayRefused():
            return Refusal(Reason.ERROR_REASON_GATEWAY_REFUSED, error.message)
        case GatewayUnavailable():
            return Refusal(
                Reason.ERROR_REASON_GATEWAY_UNAVAILABLE,
                error.message,
                retry_after_seconds=RETRY_SECONDS,
            )
        case _:
            return Refusal(
                Reason.ERROR_REASON_OUTCOME_UNKNOWN,
                error.message,
                retry_after_seconds=RETRY_SECONDS,
            )
