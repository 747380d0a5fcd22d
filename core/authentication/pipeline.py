"""The pipeline step that authenticates a call by API key or service token."""

from contextvars import ContextVar

from google.protobuf.message import Message

from core.authentication.service import AuthenticationService
from core.business.store import Business
from core.caller import Caller, set_caller
from core.errors import Reason, Refusal
from core.security.secrets import hash_api_key
from core.server.pipeline import Context, Handler, UnaryInterceptor, metadata_of, metadata_text
from nivisco.payments.v1.business_pb2 import ChangeApiKeyRequest
from rpc.catalogue import methods_by_path
from rpc.metadata import API_KEY_METADATA, BUSINESS_ID_METADATA, SERVICE_TOKEN_METADATA

_CHANGE_API_KEY = "ChangeApiKey"

_business: ContextVar[Business] = ContextVar("business")


def current_business() -> Business:
    """Return the business that the current call was authenticated as, as read then."""
    return _business.get()


class AuthenticationInterceptor(UnaryInterceptor):
    """Admits callers that may call the method: a business, the admin business or a service."""

    def __init__(self, authentication: AuthenticationService) -> None:
        """Verify credentials with `authentication`."""
        self._authentication = authentication
        self._methods = methods_by_path()

    async def intercept(
        self, path: str, handler: Handler, request: Message, context: Context
    ) -> Message:
        """Verify the credentials in the metadata. A method without declared access is refused."""
        metadata = metadata_of(context)
        method = self._methods[path]
        if method.scope is not None:
            token = metadata_text(metadata, SERVICE_TOKEN_METADATA)
            self._authentication.check_service_token(token, method.scope)
            return await handler(request, context)
        api_key = metadata_text(metadata, API_KEY_METADATA)
        business = await self._authenticated(
            request, metadata_text(metadata, BUSINESS_ID_METADATA), api_key
        )
        caller = Caller(business.business_id, business.default_env, hash_api_key(api_key))
        if method.admin_only and not caller.is_admin:
            raise Refusal(
                Reason.ERROR_REASON_ADMIN_ONLY, "Only the admin business may call this action"
            )
        set_caller(caller)
        _business.set(business)
        return await handler(request, context)

    async def _authenticated(self, request: Message, business_id: str, api_key: str) -> Business:
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
