"""Serves the gateways' webhooks: forwards the raw body to the core, which verifies it.

A wrong signature, an unknown business and a malformed request get the same response, so that nobody
learns which businesses exist; a right signature of another time has its own error. Any
other failure is 503, so that the gateway delivers again.
"""

import asyncio
import logging
import re

from aiohttp import web

from adapter.body import BodyMemory, BodyTooLarge, BodyTooSlow, TooManyBodies, read_body
from adapter.settings import AdapterSettings
from adapter.webhook_senders import Sender, WebhookSenders, sender_of
from nivisco.internal.v1 import webhooks_pb2
from nivisco.payments.v1 import types_pb2
from rpc.client import CoreClient
from rpc.errors import CoreError
from rpc.metadata import Credentials
from rpc.metrics import LIMITED
from transcoding import json_responses
from transcoding.json_responses import JsonResponse
from transcoding.parsing import InvalidJson

logger = logging.getLogger("adapter")

GATEWAYS = ("stripe", "authorize")
MAX_WEBHOOK_BYTES = 1_048_576
"""The largest event: a Stripe charge with its embedded refunds exceeds 64 KiB. The core's limit of
a message allows it."""
MAX_BODIES_BYTES = 32 * 1_048_576
"""Limit of the bodies in memory at once."""
LIMITED_BODIES_BYTES = 8 * 1_048_576
"""The same for limited senders, apart from the others."""
LIMITED_AT_ONCE = 8
"""How many webhooks of limited senders are with the core at once; the next ones wait."""
LIMITED_WAIT_SECONDS = 10.0
_METHOD = webhooks_pb2.DESCRIPTOR.services_by_name["WebhooksService"].methods_by_name[
    "ReceiveWebhook"
]
_GATEWAYS = {
    "stripe": (types_pb2.GATEWAY_STRIPE, "Stripe-Signature"),
    "authorize": (types_pb2.GATEWAY_AUTHORIZE, "X-ANET-Signature"),
}
_BUSINESS_ID = re.compile(r"[!-~]{1,64}")
_SIGNATURE = re.compile(r"[ -~]{1,4096}")
_RECEIVED = JsonResponse(200, '{"received":true}')
_NOT_ACCEPTED = json_responses.error_response(
    "SERVICE_UNAVAILABLE", "The event was not taken. Deliver it again.", retry_after_seconds=5
)
_INVALID_SIGNATURE = JsonResponse(
    400,
    '{"success":false,"error":"The signature does not fit","code":"INVALID_FIELDS"}',
    error_code="INVALID_FIELDS",
)


_BUSY = json_responses.error_response(
    "RATE_LIMITED", "Too many requests at once", retry_after_seconds=1
)
_LIMITED = json_responses.error_response(
    "RATE_LIMITED",
    "Too many webhooks from this address have no valid signature",
    retry_after_seconds=5,
)


def _limited() -> JsonResponse:
    LIMITED.labels("address_webhooks").inc()
    return _LIMITED


class Webhooks:
    """The webhook handler, with limits of requests in flight and of bodies in memory.

    Limits come before the body. Only requests whose body has arrived count as in flight, so that
    slow senders cannot lock others out.
    """

    def __init__(self, core: CoreClient, settings: AdapterSettings) -> None:
        self._core = core
        self._settings = settings
        self._bodies = BodyMemory(MAX_BODIES_BYTES)
        self._limited_bodies = BodyMemory(LIMITED_BODIES_BYTES)
        self._senders = WebhookSenders(settings.webhook_failures_per_minute)
        self._in_flight = 0
        self._limited_in_flight = 0
        self._limited_slots = asyncio.Semaphore(LIMITED_AT_ONCE)

    async def handle(
        self, request: web.BaseRequest, gateway: str, business_id: str, address: str | None
    ) -> JsonResponse:
        """Return the response to one delivery, which comes from an address."""
        value, header = _GATEWAYS[gateway]
        sender = sender_of(address, business_id, gateway)
        if busy := self._busy(sender):
            return busy
        signature = request.headers.get(header, "")
        if not (_BUSINESS_ID.fullmatch(business_id) and _SIGNATURE.fullmatch(signature)):
            self._senders.add_failed(sender)
            return _INVALID_SIGNATURE
        bodies = self._limited_bodies if self._senders.is_limited(sender) else self._bodies
        with bodies.lease() as take:
            try:
                body = await read_body(
                    request,
                    max_bytes=MAX_WEBHOOK_BYTES,
                    timeout_seconds=self._settings.body_timeout_seconds,
                    take=take,
                )
            except TooManyBodies:
                return _BUSY
            except BodyTooLarge:
                return json_responses.error_response(
                    "BODY_TOO_LARGE", "The request body is larger than 1 MiB"
                )
            except BodyTooSlow:
                self._senders.add_failed(sender)
                return json_responses.REQUEST_TIMEOUT
            except InvalidJson:  # the body was cut off
                self._senders.add_failed(sender)
                return _INVALID_SIGNATURE
            event = webhooks_pb2.ReceiveWebhookRequest(
                business_id=business_id, gateway=value, body=body, signature=signature
            )
            return self._busy(sender) or await self._forward_counted(event, sender)

    def _busy(self, sender: Sender) -> JsonResponse | None:
        """Return the response if too much is in flight, or None.

        Limited senders have half of what may be in flight, so that they cannot lock others out.
        """
        most = self._settings.max_in_flight
        if self._in_flight >= most:
            return _BUSY
        if self._limited_in_flight >= max(1, most // 2) and self._senders.is_limited(sender):
            return _limited()
        return None

    async def _forward_counted(
        self, event: webhooks_pb2.ReceiveWebhookRequest, sender: Sender
    ) -> JsonResponse:
        limited = self._senders.is_limited(sender)
        self._in_flight += 1
        self._limited_in_flight += limited
        try:
            response = await (self._forward_limited if limited else self._forward)(event)
        finally:
            self._in_flight -= 1
            self._limited_in_flight -= limited
        if response is _RECEIVED:
            self._senders.add_valid(sender)
        elif response is _INVALID_SIGNATURE:
            self._senders.add_failed(sender)
        return response

    async def _forward_limited(self, event: webhooks_pb2.ReceiveWebhookRequest) -> JsonResponse:
        """Forward an event of a limited sender when it is its turn."""
        try:
            async with asyncio.timeout(LIMITED_WAIT_SECONDS):
                await self._limited_slots.acquire()
        except TimeoutError:
            return _limited()
        try:
            return await self._forward(event)
        finally:
            self._limited_slots.release()

    async def _forward(self, event: webhooks_pb2.ReceiveWebhookRequest) -> JsonResponse:
        if not self._settings.webhooks_token:
            logger.error("webhook rejected, NIVISCO_WEBHOOKS_TOKEN is not set")
            return _NOT_ACCEPTED
        try:
            await self._core.call(
                _METHOD,
                event,
                Credentials(service_token=self._settings.webhooks_token),
                timeout_seconds=self._settings.core_timeout_seconds,
            )
        except CoreError as error:
            if error.reason == "INVALID_FIELDS":
                if "skew_seconds" in error.metadata:
                    return json_responses.error_response("INVALID_FIELDS", error.message)
                return _INVALID_SIGNATURE
            logger.warning("webhook not accepted", extra={"reason": error.reason})
            return _NOT_ACCEPTED
        return _RECEIVED
