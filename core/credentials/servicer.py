"""Wire in, wire out for CredentialsService."""

from typing import Protocol

from core.caller import current_caller
from core.credentials.service import CredentialsService
from core.messages import env_word
from nivisco.payments.v1 import credentials_pb2 as pb
from nivisco.payments.v1 import credentials_pb2_grpc, types_pb2


class _StripeKeys(Protocol):
    env: "types_pb2.Env.ValueType"
    stripe_secret_key: str
    stripe_public_key: str
    stripe_webhook_secret: str
    account_id: str


class _AuthorizeKeys(Protocol):
    env: "types_pb2.Env.ValueType"
    api_login_id: str
    transaction_key: str
    signature_key: str


def _required_env(value: "types_pb2.Env.ValueType") -> str:
    word = env_word(value)
    assert word is not None, "validation requires the environment"
    return word


def _stripe_keys(keys: _StripeKeys) -> dict[str, str | None]:
    return {
        "stripe_secret_key": keys.stripe_secret_key or None,
        "stripe_public_key": keys.stripe_public_key or None,
        "stripe_webhook_secret": keys.stripe_webhook_secret or None,
        "account_id": keys.account_id or None,
    }


def _authorize_keys(keys: _AuthorizeKeys) -> dict[str, str | None]:
    return {
        "api_login_id": keys.api_login_id or None,
        "transaction_key": keys.transaction_key or None,
        "signature_key": keys.signature_key or None,
    }


class CredentialsServicer(credentials_pb2_grpc.CredentialsServiceServicer):
    """Serves nivisco.payments.v1.CredentialsService."""

    def __init__(self, service: CredentialsService) -> None:
        """Serve with `service`."""
        self._service = service

    async def AddStripeCredentials(
        self, request: pb.AddStripeCredentialsRequest, context: object
    ) -> pb.AddStripeCredentialsResponse:
        """Store Stripe keys."""
        keys = request.credentials
        await self._service.add(
            current_caller(), "stripe", _required_env(keys.env), _stripe_keys(keys)
        )
        return pb.AddStripeCredentialsResponse(message="Stripe credentials saved", env=keys.env)

    async def ModifyStripeCredentials(
        self, request: pb.ModifyStripeCredentialsRequest, context: object
    ) -> pb.ModifyStripeCredentialsResponse:
        """Change Stripe keys."""
        keys = request.credentials
        await self._service.modify(
            current_caller(), "stripe", _required_env(keys.env), _stripe_keys(keys)
        )
        return pb.ModifyStripeCredentialsResponse(message="Stripe credentials saved", env=keys.env)

    async def AddAuthorizeCredentials(
        self, request: pb.AddAuthorizeCredentialsRequest, context: object
    ) -> pb.AddAuthorizeCredentialsResponse:
        """Store Authorize.Net keys."""
        keys = request.credentials
        await self._service.add(
            current_caller(), "authorize", _required_env(keys.env), _authorize_keys(keys)
        )
        return pb.AddAuthorizeCredentialsResponse(
            message="Authorize.Net credentials saved", env=keys.env
        )

    async def ModifyAuthorizeCredentials(
        self, request: pb.ModifyAuthorizeCredentialsRequest, context: object
    ) -> pb.ModifyAuthorizeCredentialsResponse:
        """Change Authorize.Net keys."""
        keys = request.credentials
        await self._service.modify(
            current_caller(), "authorize", _required_env(keys.env), _authorize_keys(keys)
        )
        return pb.ModifyAuthorizeCredentialsResponse(
            message="Authorize.Net credentials saved", env=keys.env
        )
