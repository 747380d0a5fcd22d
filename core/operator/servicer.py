"""Serves OperatorService: the admin business, the doctor, and what operators decide."""

from collections import defaultdict

from core.audit.messages import event_message, problem_message
from core.audit.rules import End
from core.audit.service import AuditService
from core.business.messages import business_message
from core.business.service import BusinessService
from core.business.stopping import Stopping
from core.doctor.messages import examine_response
from core.doctor.rules import DEFAULT_LIMIT
from core.doctor.service import DoctorService
from core.messages import enum_word, timestamp
from core.money import DEFAULT_CURRENCY
from core.operator.erasure import Erasure
from core.operator.messages import (
    decision_message,
    erased_message,
    kept_message,
    key_use_message,
    set_aside_message,
    shown_message,
    shown_refund_message,
    stop_message,
    stop_scope,
)
from core.operator.service import OperatorService
from core.payments.decision_rules import Resolution
from core.payments.decisions import Decisions, Operator, Request
from core.payments.messages import payment_message
from core.refunds.decisions import RefundDecisions
from core.refunds.messages import refund_message
from core.sealing.service import SealingService
from core.update_mask import update_of
from nivisco.internal.v1 import operator_pb2 as pb
from nivisco.internal.v1 import operator_pb2_grpc

_SET_ASIDE_DEFAULT = 100


class OperatorServicer(operator_pb2_grpc.OperatorServiceServicer):
    """Serves nivisco.internal.v1.OperatorService."""

    def __init__(
        self,
        business: BusinessService,
        doctor: DoctorService,
        decisions: Decisions,
        refund_decisions: RefundDecisions,
        service: OperatorService,
        sealing: SealingService,
        erasure: Erasure,
        stopping: Stopping,
        audit: AuditService,
    ) -> None:
        """Serve with these use cases."""
        self._business = business
        self._doctor = doctor
        self._decisions = decisions
        self._refund_decisions = refund_decisions
        self._service = service
        self._sealing = sealing
        self._erasure = erasure
        self._stopping = stopping
        self._audit = audit

    async def CreateAdmin(
        self, request: pb.CreateAdminRequest, context: object
    ) -> pb.CreateAdminResponse:
        """Create the admin business or replace its key."""
        issued = await self._business.create_admin(rotate=request.rotate)
        return pb.CreateAdminResponse(business_id=issued.business_id, api_key=issued.api_key)

    async def Examine(self, request: pb.ExamineRequest, context: object) -> pb.ExamineResponse:
        """Examine the database."""
        limit = request.limit if request.HasField("limit") else DEFAULT_LIMIT
        return examine_response(await self._doctor.examine(limit))

    async def ShowPayment(
        self, request: pb.ShowPaymentRequest, context: object
    ) -> pb.ShowPaymentResponse:
        """Return a payment with everything about it."""
        shown = await self._service.show(request.payment_id, request.business_id or None)
        return shown_message(shown)

    async def ResolvePayment(
        self, request: pb.ResolvePaymentRequest, context: object
    ) -> pb.ResolvePaymentResponse:
        """Decide the outcome of a payment."""
        word = enum_word(pb.PaymentResolution, request.resolution)
        assert word is not None, "validation requires it"
        decided = await self._decisions.resolve(
            request.payment_id,
            request.business_id or None,
            Operator(request.decided_by, request.reason),
            Request(Resolution(word), request.transaction_id or None, request.force),
        )
        return pb.ResolvePaymentResponse(
            payment=payment_message(decided.payment),
            decision=decision_message(decided.decision, decided.payment.currency),
            is_repeated=decided.is_repeated,
        )

    async def RetryPayment(
        self, request: pb.RetryPaymentRequest, context: object
    ) -> pb.RetryPaymentResponse:
        """Have the gateway asked about a payment now."""
        decided = await self._decisions.retry(
            request.payment_id,
            request.business_id or None,
            Operator(request.decided_by, request.reason),
        )
        return pb.RetryPaymentResponse(
            payment=payment_message(decided.payment),
            decision=decision_message(decided.decision, decided.payment.currency),
        )

    async def ShowRetention(
        self, request: pb.ShowRetentionRequest, context: object
    ) -> pb.ShowRetentionResponse:
        """Return what is deleted once it is old."""
        return pb.ShowRetentionResponse(kept=map(kept_message, await self._service.kept()))

    async def ListSetAside(
        self, request: pb.ListSetAsideRequest, context: object
    ) -> pb.ListSetAsideResponse:
        """Return rows that are set aside."""
        limit = request.limit if request.HasField("limit") else _SET_ASIDE_DEFAULT
        rows = await self._service.set_aside(limit)
        return pb.ListSetAsideResponse(rows=[set_aside_message(each) for each in rows])

    async def ReleaseSetAside(
        self, request: pb.ReleaseSetAsideRequest, context: object
    ) -> pb.ReleaseSetAsideResponse:
        """Have a row looked at again that is set aside."""
        word = enum_word(pb.DueKind, request.kind)
        assert word is not None, "validation requires it"
        decision = await self._service.release(
            word,
            request.id,
            request.business_id or None,
            Operator(request.decided_by, request.reason),
        )
        return pb.ReleaseSetAsideResponse(decision=decision_message(decision, DEFAULT_CURRENCY))

    async def ShowRefund(
        self, request: pb.ShowRefundRequest, context: object
    ) -> pb.ShowRefundResponse:
        """Return a refund with everything about it."""
        shown = await self._service.show_refund(request.refund_id, request.business_id or None)
        return shown_refund_message(shown)

    async def ResolveRefund(
        self, request: pb.ResolveRefundRequest, context: object
    ) -> pb.ResolveRefundResponse:
        """Decide the outcome of a refund."""
        word = enum_word(pb.RefundResolution, request.resolution)
        assert word is not None, "validation requires it"
        decided = await self._refund_decisions.resolve(
            request.refund_id,
            request.business_id or None,
            Operator(request.decided_by, request.reason),
            Request(Resolution(word), request.transaction_id or None, request.force),
        )
        return pb.ResolveRefundResponse(
            refund=refund_message(decided.refund),
            decision=decision_message(decided.decision, decided.refund.currency),
            is_repeated=decided.is_repeated,
        )

    async def RetryRefund(
        self, request: pb.RetryRefundRequest, context: object
    ) -> pb.RetryRefundResponse:
        """Have the gateway asked about a refund now."""
        decided = await self._refund_decisions.retry(
            request.refund_id,
            request.business_id or None,
            Operator(request.decided_by, request.reason),
        )
        return pb.RetryRefundResponse(
            refund=refund_message(decided.refund),
            decision=decision_message(decided.decision, decided.refund.currency),
        )

    async def RotateSecrets(
        self, request: pb.RotateSecretsRequest, context: object
    ) -> pb.RotateSecretsResponse:
        """Seal a page of secrets again."""
        page = await self._sealing.rotate(
            request.position, request.key_id or None, check_only=request.check_only
        )
        return pb.RotateSecretsResponse(
            key_id=page.key_id,
            read_at=timestamp(page.read_at),
            rows=page.rows,
            resealed=page.resealed,
            unreadable=page.unreadable,
            uses=[key_use_message(*key, use) for key, use in sorted(page.uses.items())],
            next_position=page.next_position,
        )

    async def EraseUser(
        self, request: pb.EraseUserRequest, context: object
    ) -> pb.EraseUserResponse:
        """Erase a person."""
        return erased_message(
            await self._erasure.erase(
                request.business_id,
                request.user_id,
                Operator(request.decided_by, request.reason),
            )
        )

    async def SuspendBusiness(
        self, request: pb.SuspendBusinessRequest, context: object
    ) -> pb.SuspendBusinessResponse:
        """Suspend a business."""
        business = await self._business.suspend(
            request.id, by=request.decided_by, reason=request.reason
        )
        return pb.SuspendBusinessResponse(business=business_message(business))

    async def ReactivateBusiness(
        self, request: pb.ReactivateBusinessRequest, context: object
    ) -> pb.ReactivateBusinessResponse:
        """End the suspension of a business."""
        business = await self._business.reactivate(
            request.id, by=request.decided_by, reason=request.reason
        )
        return pb.ReactivateBusinessResponse(business=business_message(business))

    async def LimitBusiness(
        self, request: pb.LimitBusinessRequest, context: object
    ) -> pb.LimitBusinessResponse:
        """Change the limits of a business."""
        update = update_of(request)
        changed: dict[str, int | None] = dict.fromkeys(update.cleared_paths)
        changed |= {path: getattr(request.updates, path) for path in update.set_paths}
        business = await self._business.limit(
            request.id, changed, by=request.decided_by, reason=request.reason
        )
        return pb.LimitBusinessResponse(
            id=business.business_id,
            limits=pb.BusinessLimits(
                requests_per_second=business.requests_per_second,
                gateway_requests=business.gateway_requests,
            ),
        )

    async def StopPayments(
        self, request: pb.StopPaymentsRequest, context: object
    ) -> pb.StopPaymentsResponse:
        """Stop payments."""
        stop = await self._stopping.stop(
            stop_scope(request.scope), by=request.decided_by, reason=request.reason
        )
        return pb.StopPaymentsResponse(stop=stop_message(stop))

    async def StartPayments(
        self, request: pb.StartPaymentsRequest, context: object
    ) -> pb.StartPaymentsResponse:
        """End a stop."""
        ended, others = await self._stopping.start(
            stop_scope(request.scope), by=request.decided_by, reason=request.reason
        )
        return pb.StartPaymentsResponse(
            stop=stop_message(ended), others=[stop_message(each) for each in others]
        )

    async def ListStops(
        self, request: pb.ListStopsRequest, context: object
    ) -> pb.ListStopsResponse:
        """Return the stops in force."""
        return pb.ListStopsResponse(
            stops=[stop_message(each) for each in await self._stopping.in_force()]
        )

    async def ExportAudit(
        self, request: pb.ExportAuditRequest, context: object
    ) -> pb.ExportAuditResponse:
        """Return a page of the audit trail."""
        exported = await self._audit.export(request.business_id or None, request.position)
        return pb.ExportAuditResponse(
            business_id=exported.business_id,
            events=[event_message(each) for each in exported.events],
            next_position=exported.next_position,
        )

    async def VerifyAudit(
        self, request: pb.VerifyAuditRequest, context: object
    ) -> pb.VerifyAuditResponse:
        """Verify a page of the audit trail."""
        checkpoints: dict[str, list[End]] = defaultdict(list)
        for each in request.checkpoints:
            checkpoints[each.business_id].append(End(each.sequence, each.hash))
        verified = await self._audit.verify(
            request.business_id or None, request.position, checkpoints
        )
        return pb.VerifyAuditResponse(
            events=verified.events,
            problems=[problem_message(each) for each in verified.problems],
            next_position=verified.next_position,
        )
