"""The pipeline step that authenticates a call by API key or service token."""

from google.protobuf.message import Message

from core.authentication.service import AuthenticationService
from core.caller import Caller, set_caller
from core.errors import Reason, Refusal
from core.server.pipeline import Behaviour, Context, UnaryInterceptor, metadata_of, metadata_text
from nivisco.payments.v1.business_pb2 import ChangeApiKeyRequest
from rpc.catalogue import methods_by_path
from rpc.metadata import API_KEY_METADATA, BUSINESS_ID_METADATA, SERVICE_TOKEN_METADATA

_CHANGE_API_KEY = "ChangeApiKey"


class AuthenticationInterceptor(UnaryInterceptor):
    """Refuses callers that may not call the method."""

    def __init__(self, authentication: AuthenticationService) -> None:
        """Authenticate by `authentication`."""
        self._authentication = authentication
        self._methods = methods_by_path()

    async def around(
        self, path: str, behaviour: Behaviour, request: Message, context: Context
    ) -> Message:
        """Check the API key of a business, or the service token of an internal method."""
        metadata = metadata_of(context)
        method = self._methods[path]
        if method.scope is not None:
            token = metadata_text(metadata, SERVICE_TOKEN_METADATA)
            self._authentication.check_service_token(token, method.scope)
            return await behaviour(request, context)
        caller = await self._authenticated(
            request,
            metadata_text(metadata, BUSINESS_ID_METADATA),
            metadata_text(metadata, API_KEY_METADATA),
        )
        if method.admin_only and not caller.is_admin:
            raise Refusal(
                Reason.ERROR_REASON_ADMIN_ONLY, "Only the admin business may call this action"
            )
        set_caller(caller)
        return await behaviour(request, context)

    async def _authenticated(self, request: Message, business_id: str, api_key: str) -> Caller:
        try:
            return await self._authentication.authenticate(business_id, api_key)
        except Refusal:
            if not isinstance(request, ChangeApiKeyRequest) or not request.idempotency_key:
                raise
        return await self._authentication.authenticate_retired(
            business_id,
            api_key,
            action=_CHANGE_API_KEY,
            idempotency_key=request.idempotency_key,
        )
