"""Wire in, wire out for BusinessService and OperatorService."""

from core.business.service import BusinessService
from core.caller import current_caller
from core.doctor.answers import examine_response
from core.doctor.rules import DEFAULT_LIMIT
from core.doctor.service import DoctorService
from nivisco.payments.v1 import business_pb2 as pb
from nivisco.payments.v1 import business_pb2_grpc, operator_pb2, operator_pb2_grpc


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
        issued = await self._service.register(name=new.name, email=new.email, domain=new.domain)
        return pb.RegisterBusinessResponse(
            message="Business registered successfully",
            business_id=issued.business_id,
            api_key=issued.api_key,
            domain=new.domain.lower(),
        )

    async def ModifyBusiness(
        self, request: pb.ModifyBusinessRequest, context: object
    ) -> pb.ModifyBusinessResponse:
        """Change the caller's profile."""
        updates = {
            name: value
            for name, value in (("name", request.updates.name), ("email", request.updates.email))
            if value
        }
        caller = current_caller()
        updated = await self._service.modify(caller, updates)
        return pb.ModifyBusinessResponse(
            message="Business updated successfully",
            business_id=caller.business_id,
            updated_fields=updated,
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


class OperatorServicer(operator_pb2_grpc.OperatorServiceServicer):
    """Serves nivisco.payments.v1.OperatorService."""

    def __init__(self, service: BusinessService, doctor: DoctorService) -> None:
        """Serve with `service`, and have `doctor` examine the database."""
        self._service = service
        self._doctor = doctor

    async def CreateAdmin(
        self, request: operator_pb2.CreateAdminRequest, context: object
    ) -> operator_pb2.CreateAdminResponse:
        """Create the admin business or replace its key."""
        issued = await self._service.create_admin(rotate=request.rotate)
        return operator_pb2.CreateAdminResponse(
            business_id=issued.business_id, api_key=issued.api_key
        )

    async def Examine(
        self, request: operator_pb2.ExamineRequest, context: object
    ) -> operator_pb2.ExamineResponse:
        """Examine the database."""
        limit = request.limit if request.HasField("limit") else DEFAULT_LIMIT
        return examine_response(await self._doctor.examine(limit))
