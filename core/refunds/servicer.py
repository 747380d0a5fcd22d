"""Maps the messages of RefundsService to use cases and back."""

from core.caller import current_caller
from core.errors import InvalidFields
from core.idempotency.call import current_call
from core.messages import enum_word, env_word, page_request
from core.metadata import Kind, listed_digest, stored_metadata
from core.refunds.beginning import RefundRequest
from core.refunds.messages import refund_message, refund_response
from core.refunds.service import RefundsService
from core.refunds.store import RefundFilter
from nivisco.payments.v1 import refunds_pb2 as pb
from nivisco.payments.v1 import refunds_pb2_grpc


class RefundsServicer(refunds_pb2_grpc.RefundsServiceServicer):
    """Serves nivisco.payments.v1.RefundsService."""

    def __init__(self, service: RefundsService) -> None:
        """Serve with `service`."""
        self._service = service

    async def RefundPayment(
        self, request: pb.RefundPaymentRequest, context: object
    ) -> pb.RefundPaymentResponse:
        """Refund a payment."""
        if bool(request.payment_id) == bool(request.transaction_id):
            raise InvalidFields.of("payment_id", "or transaction_id is required, and not both")
        caller = current_caller()
        refund = await self._service.refund(
            caller,
            RefundRequest(
                payment_id=request.payment_id or None,
                transaction_id=request.transaction_id or None,
                env=env_word(request.env) or caller.default_env,
                money=request.amount if request.HasField("amount") else None,
                reason=enum_word(pb.RefundReason, request.reason),
                description=request.description or None,
                metadata=stored_metadata(request.metadata),
                allow_receivable=request.allow_receivable,
                call=current_call(),
            ),
        )
        return refund_response(refund)

    async def ListRefunds(
        self, request: pb.ListRefundsRequest, context: object
    ) -> pb.ListRefundsResponse:
        """Return a page of refunds."""
        caller = current_caller()
        env = env_word(request.env) or caller.default_env
        which = RefundFilter(
            env=env,
            payment_id=request.payment_id or None,
            user_id=request.user_id or None,
            status=enum_word(pb.RefundStatus, request.status),
            digest=listed_digest(
                Kind.REFUND,
                env,
                request.metadata,
                payment_id=request.payment_id,
                user_id=request.user_id,
                status=request.status,
            ),
        )
        page = await self._service.list_refunds(caller, which, page_request(request))
        return pb.ListRefundsResponse(
            count=len(page.rows),
            total=page.total,
            refunds=[refund_message(refund) for refund in page.rows],
            total_is_estimate=page.total_is_estimate,
            next_cursor=page.next_cursor,
        )
