"""Maps the messages of CredentialsService to use cases and back."""

from core.caller import current_caller
from core.credentials.service import CredentialsService
from core.messages import env_word
from core.update_mask import update_of
from nivisco.payments.v1 import credentials_pb2 as pb
from nivisco.payments.v1 import credentials_pb2_grpc


class CredentialsServicer(credentials_pb2_grpc.CredentialsServiceServicer):
    """Serves nivisco.payments.v1.CredentialsService."""

    def __init__(self, service: CredentialsService) -> None:
        """Serve with `service`."""
        self._service = service

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
        request: pb.AddStripeCredentialsRequest | pb.AddAuthorizeCredentialsRequest,
    ) -> None:
        given = {field.name: value for field, value in request.credentials.ListFields()}
        del given["env"]
        env = env_word(request.credentials.env)
        assert env is not None, "validation requires the environment"
        await self._service.add(current_caller(), gateway, env, given)

    async def _modify(
        self,
        gateway: str,
        request: pb.ModifyStripeCredentialsRequest | pb.ModifyAuthorizeCredentialsRequest,
    ) -> None:
        names = [path.removeprefix("credentials.") for path in update_of(request).paths]
        given = {field.name: value for field, value in request.credentials.ListFields()}
        env = env_word(request.credentials.env)
        assert env is not None, "validation requires the environment"
        changes = {name: given.get(name) for name in names}
        await self._service.modify(current_caller(), gateway, env, changes)
