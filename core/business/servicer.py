"""Maps the messages of BusinessService to use cases and back."""

from datetime import UTC, timedelta

from core.business.api_keys import ApiKeys
from core.business.messages import api_key_message, business_message
from core.business.service import BusinessService
from core.caller import current_caller
from core.messages import enum_word, timestamp
from core.update_mask import update_of
from nivisco.payments.v1 import business_pb2 as pb
from nivisco.payments.v1 import business_pb2_grpc


class BusinessServicer(business_pb2_grpc.BusinessServiceServicer):
    """Serves nivisco.payments.v1.BusinessService."""

    def __init__(self, service: BusinessService, api_keys: ApiKeys) -> None:
        """Serve with `service`, and API keys with `api_keys`."""
        self._service = service
        self._api_keys = api_keys

    async def RegisterBusiness(
        self, request: pb.RegisterBusinessRequest, context: object
    ) -> pb.RegisterBusinessResponse:
        """Create a business."""
        new = request.new_business
        business, issued = await self._service.register(
            name=new.name, email=new.email, domain=new.domain
        )
        return pb.RegisterBusinessResponse(
            message="Business registered successfully",
            business_id=issued.business_id,
            api_key=issued.api_key,
            domain=business.domain,
            business=business_message(business),
        )

    async def ModifyBusiness(
        self, request: pb.ModifyBusinessRequest, context: object
    ) -> pb.ModifyBusinessResponse:
        """Change the caller's profile."""
        update = update_of(request)
        given = {path: getattr(request.updates, path) for path in update.set_paths}
        business = await self._service.modify(
            current_caller(), given | dict.fromkeys(update.cleared_paths)
        )
        return pb.ModifyBusinessResponse(
            message="Business updated successfully",
            business_id=business.business_id,
            updated_fields=update.paths,
            business=business_message(business),
        )

    async def ChangeApiKey(
        self, request: pb.ChangeApiKeyRequest, context: object
    ) -> pb.ChangeApiKeyResponse:
        """Replace the caller's API key."""
        issued = await self._api_keys.change(
            current_caller(), timedelta(seconds=request.grace_seconds)
        )
        ends_at = issued.previous_expires_at
        return pb.ChangeApiKeyResponse(
            message="API key rotated successfully",
            business_id=issued.business_id,
            api_key=issued.api_key,
            previous_key_expires_at=timestamp(ends_at) if ends_at else None,
        )

    async def CreateApiKey(
        self, request: pb.CreateApiKeyRequest, context: object
    ) -> pb.CreateApiKeyResponse:
        """Create another API key."""
        expires_at = None
        if request.HasField("expires_at"):
            expires_at = request.expires_at.ToDatetime(tzinfo=UTC)
        known = pb.ApiKeyScope.values()
        issued, key = await self._api_keys.create(
            current_caller(),
            name=request.name,
            scopes=[
                enum_word(pb.ApiKeyScope, each) if each in known else None
                for each in request.scopes
            ],
            expires_at=expires_at,
            max_amount=request.max_amount if request.HasField("max_amount") else None,
            max_amount_per_day=(
                request.max_amount_per_day if request.HasField("max_amount_per_day") else None
            ),
        )
        return pb.CreateApiKeyResponse(
            message="API key created", api_key=issued.api_key, key_info=api_key_message(key)
        )

    async def ListApiKeys(
        self, request: pb.ListApiKeysRequest, context: object
    ) -> pb.ListApiKeysResponse:
        """Return the caller's API keys, without the keys."""
        keys = await self._api_keys.list(current_caller())
        used = await self._api_keys.used_today(current_caller())
        return pb.ListApiKeysResponse(
            count=len(keys), keys=[api_key_message(key, used.get(key.key_id, 0)) for key in keys]
        )

    async def RevokeApiKey(
        self, request: pb.RevokeApiKeyRequest, context: object
    ) -> pb.RevokeApiKeyResponse:
        """Revoke an API key."""
        key = await self._api_keys.revoke(current_caller(), request.key_id)
        used = await self._api_keys.used_today(current_caller())
        return pb.RevokeApiKeyResponse(
            message="API key revoked", key_info=api_key_message(key, used.get(key.key_id, 0))
        )
