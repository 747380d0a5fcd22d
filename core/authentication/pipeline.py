"""The pipeline steps about credentials: admit the caller, and wait after a change of them."""

from collections.abc import Mapping

from google.protobuf.message import Message

from core.authentication.service import AuthenticationService
from core.business.caps import capped
from core.business.rules import business_suspended
from core.caller import Caller, current_caller, set_caller
from core.errors import Reason, Refusal
from core.stops import payments_stopped
from nivisco.payments.v1 import types_pb2
from nivisco.payments.v1.business_pb2 import ChangeApiKeyRequest, RevokeApiKeyRequest
from nivisco.payments.v1.credentials_pb2 import (
    AddAuthorizeCredentialsRequest,
    AddStripeCredentialsRequest,
)
from rpc.catalogue import IDEMPOTENCY_KEY, Method
from rpc.metadata import API_KEY_METADATA, BUSINESS_ID_METADATA, SERVICE_TOKEN_METADATA

_CHANGE_API_KEY = "ChangeApiKey"
_CHARGES = ("ChargeCustomer", "FundCustomer", "RetryRecurring")
"""Actions that find what they are a retry of, and refuse only what they would begin."""


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
        Refusal: SERVICE_TOKEN_REQUIRED, INVALID_CREDENTIALS, ADMIN_ONLY, SCOPE_MISSING,
            API_KEY_CAPPED, or BUSINESS_SUSPENDED or PAYMENTS_STOPPED of a request that repeats no
            other.
    """
    if method.scope is not None:
        token = metadata_text(metadata, SERVICE_TOKEN_METADATA)
        authentication.check_service_token(token, method.scope)
        return
    caller = await _authenticated(
        authentication,
        request,
        metadata_text(metadata, BUSINESS_ID_METADATA),
        metadata_text(metadata, API_KEY_METADATA),
    )
    if method.admin_only and not caller.is_admin:
        raise Refusal(
            Reason.ERROR_REASON_ADMIN_ONLY, "Only the admin business may call this action"
        )
    if method.key_scope is not None and method.key_scope not in caller.scopes:
        raise Refusal(
            Reason.ERROR_REASON_SCOPE_MISSING,
            f"The API key lacks the scope {method.key_scope}, which this action needs",
        )
    if caller.caps is not None and not method.is_open_to_capped_keys:
        raise capped("action", "API keys with amount caps may not call this action")
    refusal = _refusal_of_new(method, caller)
    if refusal is not None and not getattr(request, IDEMPOTENCY_KEY, ""):
        raise refusal
    set_caller(caller)


def refusal_unless_answered(method: Method) -> Refusal | None:
    """Return what a call that was admitted is refused with unless its key has an answer, or None.

    A business that is suspended or stopped learns what its calls did before. What a charge began is
    found by the charge itself.
    """
    return _refusal_of_new(method, current_caller())


def _refusal_of_new(method: Method, caller: Caller) -> Refusal | None:
    """Return the refusal of a call that repeats no other, or None.

    What may be a retry of a charge, or moves money at one gateway only, is refused where that is
    known.
    """
    is_suspended = caller.is_suspended and method.is_refused_while_suspended
    if is_suspended and method.descriptor.name not in _CHARGES:
        return business_suspended()
    is_stopped = method.moves_money == "wallet" and caller.stops.refuse_movement
    return payments_stopped() if is_stopped else None


async def _authenticated(
    authentication: AuthenticationService,
    request: Message | None,
    business_id: str,
    api_key: str,
) -> Caller:
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


async def settle(authentication: AuthenticationService, request: Message) -> None:
    """Wait before the answer to an action that changed what cores keep of their callers.

    Its answer promises that the change holds in every core. So does a replay of it, because the
    core that made the change may have died while it waited.
    """
    if _changes_callers(request):
        await authentication.until_known_everywhere()


def _changes_callers(request: Message) -> bool:
    """Return whether an action ends an API key or changes the default environment."""
    match request:
        case ChangeApiKeyRequest() | RevokeApiKeyRequest():
            return True
        case AddStripeCredentialsRequest() | AddAuthorizeCredentialsRequest():
            return request.credentials.env == types_pb2.ENV_LIVE
        case _:
            return False
