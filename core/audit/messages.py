"""Maps events of the audit trail to messages."""

from core.audit.rules import Problem
from core.audit.service import EventFilter
from core.audit.store import Listed
from core.messages import enum_value, timestamp
from nivisco.internal.v1 import operator_pb2
from nivisco.payments.v1 import audit_pb2 as pb


def event_message(listed: Listed) -> pb.AuditEvent:
    """Return the message of an event."""
    event = listed.event
    return pb.AuditEvent(
        event_id=event.event_id,
        sequence=event.sequence,
        occurred_at=timestamp(event.occurred_at),
        actor=enum_value(pb.AuditActor, event.actor),
        actor_id=event.actor_id or None,
        action=event.action or None,
        transition=event.transition or None,
        change=enum_value(pb.AuditChange, event.change),
        subject=event.subject,
        subject_id=event.subject_id or None,
        user_id=event.user_id,
        payment_id=event.payment_id,
        request_id=event.request_id or None,
        address=listed.address,
        before_hash=event.before_hash,
        after_hash=event.after_hash,
        hash=listed.hash,
    )


def event_filter(request: pb.ListAuditEventsRequest) -> EventFilter:
    """Return which events a request is for."""
    return EventFilter(
        user_id=request.user_id or None,
        payment_id=request.payment_id or None,
        action=request.by_action or None,
    )


def problem_message(problem: Problem) -> operator_pb2.AuditProblem:
    """Return the message of a problem."""
    return operator_pb2.AuditProblem(
        business_id=problem.business_id, sequence=problem.sequence, problem=problem.problem
    )
