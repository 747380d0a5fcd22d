"""Maps the messages of CredentialsService to use cases and back."""

from collections.abc import Awaitable, Callable, Mapping
from functools import partial

from google.protobuf.message import Message

from core.caller import current_caller
from core.credentials.service import CredentialsService
from core.credentials.verification import Verification
from core.messages import env_word
from core.update_mask import update_of
from nivisco.payments.v1 import credentials_pb2 as pb
from nivisco.payments.v1 import credentials_pb2_grpc

_Add = pb.AddStripeCredentialsRequest | pb.AddAuthorizeCredentialsRequest
_Modify = pb.ModifyStripeCredentialsRequest | pb.ModifyAuthorizeCredentialsRequest


class CredentialsServicer(credentials_pb2_grpc.CredentialsServiceServicer):
    """Serves nivisco.payments.v1.CredentialsService."""

    def __init__(self, service: CredentialsService, verification: Verification) -> None:
        """Serve with `service`, and `verify` with `verification`."""
        self._service = service
        self._verification = verification

    def verify(self, request: Message) -> Callable[[], Awaitable[None]] | None:
        """Return the check that a request asks for before its transaction, None if it asks none."""
        keys: Mapping[str, str | None]
        match request:
            case pb.AddStripeCredentialsRequest(verify=True):
                gateway, keys, is_new = "stripe", _given(request), True
            case pb.AddAuthorizeCredentialsRequest(verify=True):
                gateway, keys, is_new = "authorize", _given(request), True
            case pb.ModifyStripeCredentialsRequest(verify=True):
                gateway, keys, is_new = "stripe", _changes(request), False
            case pb.ModifyAuthorizeCredentialsRequest(verify=True):
                gateway, keys, is_new = "authorize", _changes(request), False
            case _:
                return None
        return partial(
            self._verification.verify,
            current_caller(),
            gateway,
            _env(request),
            keys,
            is_new=is_new,
        )

    async def AddStripeCredentials(
        self, request: pb.AddStripeCredentialsRequest, context: object
    ) -> pb.AddStripeCredentialsResponse:
        """Store Stripe credentials."""
        await self._add("stripe", request)
        return pb.AddStripeCredentialsResponse(
            message="Stripe credentials saved", env=request.credentials.env
        )

    async def ModifyStripeCredentials(
        self, request: pb.ModifyStripeCredentialsRequest, context: object
    ) -> pb.ModifyStripeCredentialsResponse:
        """Change Stripe credentials."""
        await self._modify("stripe", request)
        return pb.ModifyStripeCredentialsResponse(
            message="Stripe credentials saved", env=request.credentials.env
        )

    async def AddAuthorizeCredentials(
        self, request: pb.AddAuthorizeCredentialsRequest, context: object
    ) -> pb.AddAuthorizeCredentialsResponse:
        """Store Authorize.Net credentials."""
        await self._add("authorize", request)
        return pb.AddAuthorizeCredentialsResponse(
            message="Authorize.Net credentials saved", env=request.credentials.env
        )

    async def ModifyAuthorizeCredentials(
        self, request: pb.ModifyAuthorizeCredentialsRequest, context: object
    ) -> pb.ModifyAuthorizeCredentialsResponse:
        """Change Authorize.Net credentials."""
        await self._modify("authorize", request)
        return pb.ModifyAuthorizeCredentialsResponse(
            message="Authorize.Net credentials saved", env=request.credentials.env
        )

    async def _add(
        self,
        gateway: str,
        request: _Add,
    ) -> None:
        await self._service.add(current_caller(), gateway, _env(request), _given(request))

    async def _modify(
        self,
        gateway: str,
        request: _Modify,
    ) -> None:
        await self._service.modify(current_caller(), gateway, _env(request), _changes(request))


def _env(request: _Add | _Modify) -> str:
    env = env_word(request.credentials.env)
    assert env is not None, "validation requires the environment"
    return env


def _given(request: _Add | _Modify) -> dict[str, str]:
    """Return the keys of a request, by their names."""
    return {
        field.name: value
        for field, value in request.credentials.ListFields()
        if field.name != "env"
    }


def _changes(request: _Modify) -> dict[str, str | None]:
    """Return the keys that a request changes, None for those that it clears."""
    names = [path.removeprefix("credentials.") for path in update_of(request).paths]
    given = _given(request)
    return {name: given.get(name) for name in names}
