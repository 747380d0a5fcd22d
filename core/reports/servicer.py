"""Maps the messages of ReportsService to use cases and back."""

from core.caller import current_caller
from core.messages import (
    enum_value,
    enum_word,
    env_value,
    env_word,
    gateway_value,
    gateway_word,
    page_request,
    time_of,
    timestamp,
)
from core.money import Amount, money_message
from core.reports.rules import Volume
from core.reports.service import ReportsService, ShownEvent
from core.reports.store import EventFilter
from nivisco.payments.v1 import reports_pb2 as pb
from nivisco.payments.v1 import reports_pb2_grpc


class ReportsServicer(reports_pb2_grpc.ReportsServiceServicer):
    """Serves nivisco.payments.v1.ReportsService."""

    def __init__(self, service: ReportsService) -> None:
        """Serve with `service`."""
        self._service = service

    async def ListGatewayEvents(
        self, request: pb.ListGatewayEventsRequest, context: object
    ) -> pb.ListGatewayEventsResponse:
        """Return a page of webhooks."""
        caller = current_caller()
        which = EventFilter(
            env=env_word(request.env) or caller.default_env,
            payment_id=request.payment_id or None,
            state=enum_word(pb.GatewayEventState, request.state),
            gateway=gateway_word(request.gateway),
        )
        page = await self._service.list_events(caller, which, page_request(request))
        return pb.ListGatewayEventsResponse(
            count=len(page.rows),
            total=page.total,
            events=[_event_message(each) for each in page.rows],
            total_is_estimate=page.total_is_estimate,
            next_cursor=page.next_cursor,
        )

    async def GetVolumes(
        self, request: pb.GetVolumesRequest, context: object
    ) -> pb.GetVolumesResponse:
        """Return what moved on each day."""
        caller = current_caller()
        env = env_word(request.env) or caller.default_env
        period, volumes = await self._service.volumes(
            caller,
            env,
            time_of(request.from_date) if request.HasField("from_date") else None,
            time_of(request.to_date) if request.HasField("to_date") else None,
        )
        response = pb.GetVolumesResponse(
            env=env_value(env),
            from_date=period.first.isoformat(),
            to_date=period.last.isoformat(),
        )
        for each in volumes:
            if each.gateway is None:
                response.wallet_volumes.append(_wallet_volume(each))
            else:
                response.card_volumes.append(_card_volume(each, each.gateway))
        return response


def _event_message(shown: ShownEvent) -> pb.GatewayEvent:
    event = shown.event
    message = pb.GatewayEvent(
        event_id=event.event_id,
        gateway=gateway_value(event.gateway),
        env=env_value(event.env),
        type=event.type,
        state=enum_value(pb.GatewayEventState, event.state),
        occurred_at=timestamp(event.occurred_at),
        received_at=timestamp(event.received_at),
        payment_id=shown.payment_id,
        transaction_id=event.transaction_id,
        refund_id=event.refund_id,
        gateway_refund_id=shown.gateway_refund_id,
        dispute_id=shown.dispute_id,
        card_id=shown.card_id,
    )
    if shown.change is not None:
        message.change = enum_value(pb.GatewayEventChange, shown.change)
    if event.processed_at is not None:
        message.processed_at.CopyFrom(timestamp(event.processed_at))
    return message


def _card_volume(volume: Volume, gateway: str) -> pb.CardVolume:
    return pb.CardVolume(
        date=volume.day,
        gateway=gateway_value(gateway),
        payment_count=volume.count("payment"),
        payment_amount=money_message(Amount(volume.amount_minor("payment"), volume.currency)),
        refund_count=volume.count("refund"),
        refund_amount=money_message(Amount(volume.amount_minor("refund"), volume.currency)),
    )


def _wallet_volume(volume: Volume) -> pb.WalletVolume:
    return pb.WalletVolume(
        date=volume.day,
        credit_count=volume.count("credit"),
        credit_amount=money_message(Amount(volume.amount_minor("credit"), volume.currency)),
        debit_count=volume.count("debit"),
        debit_amount=money_message(Amount(volume.amount_minor("debit"), volume.currency)),
    )
