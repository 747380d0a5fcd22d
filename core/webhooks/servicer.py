"""Maps the messages of WebhooksService to use cases and back."""

from core.messages import gateway_word
from core.webhooks.service import WebhooksService
from nivisco.internal.v1 import webhooks_pb2 as pb
from nivisco.internal.v1 import webhooks_pb2_grpc


class WebhooksServicer(webhooks_pb2_grpc.WebhooksServiceServicer):
    """Serves nivisco.internal.v1.WebhooksService."""

    def __init__(self, service: WebhooksService) -> None:
        """Serve with `service`."""
        self._service = service

    async def ReceiveWebhook(
        self, request: pb.ReceiveWebhookRequest, context: object
    ) -> pb.ReceiveWebhookResponse:
        """Store an event and apply it to its payment."""
        gateway = gateway_word(request.gateway)
        assert gateway is not None, "the schema requires it"
        duplicate = await self._service.receive(
            business_id=request.business_id,
            gateway=gateway,
            body=request.body,
            signature=request.signature,
        )
        return pb.ReceiveWebhookResponse(duplicate=duplicate)
