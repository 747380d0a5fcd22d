"""Serves AuthenticationService. The pipeline has authenticated the caller."""

from core.business.messages import business_message
from core.business.service import BusinessService
from core.caller import current_caller
from nivisco.payments.v1 import authentication_pb2 as pb
from nivisco.payments.v1 import authentication_pb2_grpc


class AuthenticationServicer(authentication_pb2_grpc.AuthenticationServiceServicer):
    """Serves nivisco.payments.v1.AuthenticationService."""

    def __init__(self, service: BusinessService) -> None:
        """Read businesses with `service`."""
        self._service = service

    async def ValidateBusiness(
        self, request: pb.ValidateBusinessRequest, context: object
    ) -> pb.ValidateBusinessResponse:
        """Return the caller's business."""
        business = await self._service.get(current_caller())
        return pb.ValidateBusinessResponse(business=business_message(business))

    async def GetBusinessInfo(
        self, request: pb.GetBusinessInfoRequest, context: object
    ) -> pb.GetBusinessInfoResponse:
        """Return the caller's business."""
        business = await self._service.get(current_caller())
        return pb.GetBusinessInfoResponse(business=business_message(business))
