"""Maps the messages of PaymentsService to use cases and back."""

from core.caller import current_caller
from core.errors import InvalidFields
from core.idempotency.call import current_call
from core.messages import enum_word, env_word, gateway_word, page_request
from core.metadata import Kind, listed_digest, stored_metadata
from core.payments.charge_request import ChargeRequest
from core.payments.closing import ClosingRequest
from core.payments.closing_rules import CAPTURE, VOID
from core.payments.lookup import Lookup
from core.payments.messages import (
    capture_response,
    charge_response,
    fund_response,
    payment_details_response,
    payment_message,
    void_response,
)
from core.payments.service import PaymentsService
from core.payments.store import PaymentFilter
from nivisco.payments.v1 import payments_pb2 as pb
from nivisco.payments.v1 import payments_pb2_grpc


class PaymentsServicer(payments_pb2_grpc.PaymentsServiceServicer):
    """Serves nivisco.payments.v1.PaymentsService."""

    def __init__(self, service: PaymentsService, lookup: Lookup) -> None:
        """Charge and list with `service`, and look one payment up with `lookup`."""
        self._service = service
        self._lookup = lookup

    async def ChargeCustomer(
        self, request: pb.ChargeCustomerRequest, context: object
    ) -> pb.ChargeCustomerResponse:
        """Charge the user's primary card."""
        is_captured = request.capture or not request.HasField("capture")
        charged = await self._service.charge(
            current_caller(), _charge_request("charge", request, is_captured=is_captured)
        )
        return charge_response(charged)

    async def FundCustomer(
        self, request: pb.FundCustomerRequest, context: object
    ) -> pb.FundCustomerResponse:
        """Charge the user's primary card and credit their wallet."""
        charged = await self._service.charge(current_caller(), _charge_request("fund", request))
        return fund_response(charged)

    async def CapturePayment(
        self, request: pb.CapturePaymentRequest, context: object
    ) -> pb.CapturePaymentResponse:
        """Capture an authorized payment."""
        wanted = _closing_request(CAPTURE, request)
        return capture_response(await self._service.close(current_caller(), wanted))

    async def VoidPayment(
        self, request: pb.VoidPaymentRequest, context: object
    ) -> pb.VoidPaymentResponse:
        """Release an authorized payment."""
        wanted = _closing_request(VOID, request)
        return void_response(await self._service.close(current_caller(), wanted))

    async def GetPaymentRecords(
        self, request: pb.GetPaymentRecordsRequest, context: object
    ) -> pb.GetPaymentRecordsResponse:
        """Return a page of payments."""
        caller = current_caller()
        env = env_word(request.env) or caller.default_env
        which = PaymentFilter(
            env=env,
            user_id=request.user_id or None,
            status=enum_word(pb.PaymentStatus, request.status),
            gateway=gateway_word(request.gateway),
            digest=listed_digest(
                Kind.PAYMENT,
                env,
                request.metadata,
                user_id=request.user_id,
                status=request.status,
                gateway=request.gateway,
            ),
        )
        page = await self._service.list_payments(caller, which, page_request(request))
        return pb.GetPaymentRecordsResponse(
            count=len(page.rows),
            total=page.total,
            payments=[payment_message(payment) for payment in page.rows],
            total_is_estimate=page.total_is_estimate,
            next_cursor=page.next_cursor,
        )

    async def GetPayment(
        self, request: pb.GetPaymentRequest, context: object
    ) -> pb.GetPaymentResponse:
        """Return a payment with all that is known about it."""
        if request.payment_id and request.transaction_id:
            raise InvalidFields.of("transaction_id", "must not be given together with payment_id")
        if not request.payment_id and not request.transaction_id:
            raise InvalidFields.of("payment_id", "is required, or transaction_id")
        caller = current_caller()
        found = await self._lookup.payment(
            caller,
            payment_id=request.payment_id or None,
            transaction_id=request.transaction_id or None,
            env=env_word(request.env) or caller.default_env,
        )
        return payment_details_response(found)


def _charge_request(
    kind: str,
    request: pb.ChargeCustomerRequest | pb.FundCustomerRequest,
    *,
    is_captured: bool = True,
) -> ChargeRequest:
    return ChargeRequest(
        kind=kind,
        user_id=request.user_id,
        env=env_word(request.env) or current_caller().default_env,
        money=request.amount,
        gateway=gateway_word(request.gateway),
        description=request.description or None,
        metadata=stored_metadata(request.metadata),
        is_env_default=not request.env,
        call=current_call(),
        is_captured=is_captured,
    )


def _closing_request(
    closing: str, request: pb.CapturePaymentRequest | pb.VoidPaymentRequest
) -> ClosingRequest:
    if bool(request.payment_id) == bool(request.transaction_id):
        raise InvalidFields.of("payment_id", "or transaction_id is required, and not both")
    money = void_reason = None
    if isinstance(request, pb.VoidPaymentRequest):
        void_reason = enum_word(pb.VoidReason, request.reason)
    elif request.HasField("amount"):
        money = request.amount
    return ClosingRequest(
        closing=closing,
        payment_id=request.payment_id or None,
        transaction_id=request.transaction_id or None,
        env=env_word(request.env) or current_caller().default_env,
        money=money,
        call=current_call(),
        void_reason=void_reason,
    )
