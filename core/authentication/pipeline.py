"""The pipeline step that authenticates a call by API key or service token."""

from collections.abc import Mapping
from contextvars import ContextVar

from google.protobuf.message import Message

from core.authentication.service import AuthenticationService
from core.business.store import Business
from core.caller import Caller, set_caller
from core.errors import Reason, Refusal
from core.security.secrets import hash_api_key
from nivisco.payments.v1.business_pb2 import ChangeApiKeyRequest
from rpc.catalogue import Method
from rpc.metadata import API_KEY_METADATA, BUSINESS_ID_METADATA, SERVICE_TOKEN_METADATA

_CHANGE_API_KEY = "ChangeApiKey"

_business: ContextVar[Business] = ContextVar("business")


def current_business() -> Business:
    """Return the business that the current call was authenticated as, as read then."""
    return _business.get()


def metadata_text(metadata: Mapping[str, str | bytes], name: str) -> str:
    """Return the text under `name`, empty if there is none."""
    value = metadata.get(name, "")
    return value if isinstance(value, str) else ""


async def admit(
    authentication: AuthenticationService,
    method: Method,
    metadata: Mapping[str, str | bytes],
    request: Message | None,
) -> None:
    """Verify the credentials in the metadata, and set the caller if it is a business.

    `request` is None if it is malformed.

    Raises:
        Refusal: SERVICE_TOKEN_REQUIRED, INVALID_CREDENTIALS or ADMIN_ONLY.
    """
    if method.scope is not None:
        token = metadata_text(metadata, SERVICE_TOKEN_METADATA)
        authentication.check_service_token(token, method.scope)
        return
    api_key = metadata_text(metadata, API_KEY_METADATA)
    business = await _authenticated(
        authentication, request, metadata_text(metadata, BUSINESS_ID_METADATA), api_key
    )
    caller = Caller(business.business_id, business.default_env, hash_api_key(api_key))
    if method.admin_only and not caller.is_admin:
        raise Refusal(
            Reason.ERROR_REASON_ADMIN_ONLY, "Only the admin business may call this action"
        )
    set_caller(caller)
    _business.set(business)


async def _authenticated(
    authentication: AuthenticationService,
    request: Message | None,
    business_id: str,
    api_key: str,
) -> Business:
    try:
        return await authentication.authenticate(business_id, api_key)
    except Refusal:
        if not isinstance(request, ChangeApiKeyRequest) or not request.idempotency_key:
            raise
    return await authentication.authenticate_retired(
        business_id,
        api_key,
        action=_CHANGE_API_KEY,
        idempotency_key=request.idempotency_key,
    )
