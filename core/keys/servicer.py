"""Maps the messages of KeysService to use cases and back."""

from core.caller import current_caller
from core.credentials.service import CredentialsService
from core.messages import env_value, env_word
from nivisco.payments.v1 import keys_pb2 as pb
from nivisco.payments.v1 import keys_pb2_grpc


class KeysServicer(keys_pb2_grpc.KeysServiceServicer):
    """Serves nivisco.payments.v1.KeysService."""

    def __init__(self, service: CredentialsService) -> None:
        """Serve with `service`."""
        self._service = service

    async def GetStripePublicKey(
        self, request: pb.GetStripePublicKeyRequest, context: object
    ) -> pb.GetStripePublicKeyResponse:
        """Return the caller's publishable key."""
        caller = current_caller()
        env = env_word(request.env) or caller.default_env
        key = await self._service.stripe_public_key(caller, env)
        return pb.GetStripePublicKeyResponse(env=env_value(env), stripe_public_key=key)
