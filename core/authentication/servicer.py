"""Serves AuthenticationService. The pipeline has authenticated the caller and read its row."""

from core.authentication.pipeline import current_business
from core.business.messages import business_message
from nivisco.payments.v1 import authentication_pb2 as pb
from nivisco.payments.v1 import authentication_pb2_grpc


class AuthenticationServicer(authentication_pb2_grpc.AuthenticationServiceServicer):
    """Serves nivisco.payments.v1.AuthenticationService."""

    async def ValidateBusiness(
        self, request: pb.ValidateBusinessRequest, context: object
    ) -> pb.ValidateBusinessResponse:
        """Return the caller's business."""
        return pb.ValidateBusinessResponse(business=business_message(current_business()))

    async def GetBusinessInfo(
        self, request: pb.GetBusinessInfoRequest, context: object
    ) -> pb.GetBusinessInfoResponse:
        """Return the caller's business."""
        return pb.GetBusinessInfoResponse(business=business_message(current_business()))
