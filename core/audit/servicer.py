"""Maps the messages of AuditService to its use case and back."""

from core.audit.messages import event_filter, event_message
from core.audit.service import AuditService
from core.caller import current_caller
from core.messages import page_request
from nivisco.payments.v1 import audit_pb2 as pb
from nivisco.payments.v1 import audit_pb2_grpc


class AuditServicer(audit_pb2_grpc.AuditServiceServicer):
    """Serves nivisco.payments.v1.AuditService."""

    def __init__(self, service: AuditService) -> None:
        """Serve with `service`."""
        self._service = service

    async def ListAuditEvents(
        self, request: pb.ListAuditEventsRequest, context: object
    ) -> pb.ListAuditEventsResponse:
        """Return a page of events."""
        page = await self._service.list_events(
            current_caller(), event_filter(request), page_request(request)
        )
        return pb.ListAuditEventsResponse(
            count=len(page.rows),
            total=page.total,
            events=[event_message(each) for each in page.rows],
            total_is_estimate=page.total_is_estimate,
            next_cursor=page.next_cursor,
        )
