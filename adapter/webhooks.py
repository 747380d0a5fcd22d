"""Serves the gateways' webhooks: forwards the raw body to the core, which verifies it.

A wrong signature, an unknown business and a malformed request get the same response, so that nobody
learns which businesses exist. Any other failure is 503, so that the gateway delivers again.
"""

import logging
import re

from aiohttp import web

from adapter.body import BodyTooLarge, BodyTooSlow, read_body
from adapter.settings import AdapterSettings
from nivisco.internal.v1 import webhooks_pb2
from nivisco.payments.v1 import types_pb2
from rpc.client import CoreClient
from rpc.errors import CoreError
from rpc.metadata import Credentials
from transcoding import json_responses
from transcoding.json_responses import JsonResponse
from transcoding.parsing import InvalidJson

logger = logging.getLogger("adapter")

GATEWAYS = ("stripe", "authorize")
MAX_WEBHOOK_BYTES = 1_048_576
"""The largest event: a Stripe charge with its embedded refunds exceeds 64 KiB. The core's limit of
a message allows it."""
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


class Webhooks:
    """The webhook handler, with a maximum number of requests in flight."""

    def __init__(self, core: CoreClient, settings: AdapterSettings) -> None:
        self._core = core
        self._settings = settings
        self._in_flight = 0

    async def handle(self, request: web.Request, gateway: str) -> JsonResponse:
        """Return the response to one delivery."""
        try:
            body = await read_body(
                request.content,
                request.content_length,
                max_bytes=MAX_WEBHOOK_BYTES,
                timeout_seconds=self._settings.body_timeout_seconds,
            )
        except BodyTooLarge:
            return json_responses.error_response(
                "BODY_TOO_LARGE", "The request body is larger than 1 MiB"
            )
        except BodyTooSlow:
            return json_responses.REQUEST_TIMEOUT
        except InvalidJson:  # the body was cut off
            return _INVALID_SIGNATURE
        if self._in_flight >= self._settings.max_in_flight:
            return json_responses.error_response(
                "RATE_LIMITED", "Too many requests at once", retry_after_seconds=1
            )
        value, header = _GATEWAYS[gateway]
        business_id = request.match_info["business_id"]
        signature = request.headers.get(header, "")
        if not (_BUSINESS_ID.fullmatch(business_id) and _SIGNATURE.fullmatch(signature) and body):
            return _INVALID_SIGNATURE
        self._in_flight += 1
        try:
            return await self._forward(
                webhooks_pb2.ReceiveWebhookRequest(
                    business_id=business_id, gateway=value, body=body, signature=signature
                )
            )
        finally:
            self._in_flight -= 1

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
                return _INVALID_SIGNATURE
            logger.warning("webhook not accepted", extra={"reason": error.reason})
            return _NOT_ACCEPTED
        return _RECEIVED
