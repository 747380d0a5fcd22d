"""Maps the messages of BusinessService to use cases and back."""

from core.business.messages import business_message
from core.business.service import BusinessService
from core.caller import current_caller
from core.update_mask import update_of
from nivisco.payments.v1 import business_pb2 as pb
from nivisco.payments.v1 import business_pb2_grpc


class BusinessServicer(business_pb2_grpc.BusinessServiceServicer):
    """Serves nivisco.payments.v1.BusinessService."""

    def __init__(self, service: BusinessService) -> None:
        """Serve with `service`."""
        self._service = service

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
        issued = await self._service.change_api_key(current_caller())
        return pb.ChangeApiKeyResponse(
            message="API key rotated successfully",
            business_id=issued.business_id,
            api_key=issued.api_key,
        )
