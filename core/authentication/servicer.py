"""Wire in, wire out for AuthenticationService."""

from core.authentication.service import AuthenticationService
from core.caller import current_caller
from core.messages import timestamp
from nivisco.payments.v1 import authentication_pb2 as pb
from nivisco.payments.v1 import authentication_pb2_grpc, business_pb2


class AuthenticationServicer(authentication_pb2_grpc.AuthenticationServiceServicer):
    """Serves nivisco.payments.v1.AuthenticationService."""

    def __init__(self, service: AuthenticationService) -> None:
        """Serve with `service`."""
        self._service = service

    async def ValidateBusiness(
        self,
        request: pb.ValidateBusinessRequest,
        context: object,
    ) -> pb.ValidateBusinessResponse:
        """Confirm the credentials, which the interceptor has checked."""
        business_id = current_caller().business_id
        return pb.ValidateBusinessResponse(business=business_pb2.Business(business_id=business_id))

    async def GetBusinessInfo(
        self,
        request: pb.GetBusinessInfoRequest,
        context: object,
    ) -> pb.GetBusinessInfoResponse:
        """Return the caller's profile."""
        business = await self._service.business_info(current_caller())
        return pb.GetBusinessInfoResponse(
            business=business_pb2.Business(
                business_id=business.business_id,
                name=business.name,
                email=business.email,
                domain=business.domain,
                created_at=timestamp(business.created_at),
            )
        )
