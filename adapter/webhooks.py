"""Answers the gateways' webhooks: hands the raw body to the core, and reads nothing of it.

A bad signature, an unknown business and a malformed request are answered alike, so that nobody
learns which businesses there are. Whatever is not certain is 503, because gateways deliver again.
"""

import logging
import re

from aiohttp import web

from adapter.body import BodyTooLarge, read_body
from adapter.settings import AdapterSettings
from nivisco.internal.v1 import webhooks_pb2
from nivisco.payments.v1 import types_pb2
from rpc.client import CoreClient
from rpc.errors import CoreError
from rpc.metadata import Credentials
from transcoding import answers
from transcoding.answers import Answer
from transcoding.parsing import InvalidJson

logger = logging.getLogger("adapter")

GATEWAYS = ("stripe", "authorize")
_METHOD = webhooks_pb2.DESCRIPTOR.services_by_name["WebhooksService"].methods_by_name[
    "ReceiveWebhook"
]
_GATEWAYS = {
    "stripe": (types_pb2.GATEWAY_STRIPE, "Stripe-Signature"),
    "authorize": (types_pb2.GATEWAY_AUTHORIZE, "X-ANET-Signature"),
}
_BUSINESS_ID = re.compile(r"[!-~]{1,64}")
_SIGNATURE = re.compile(r"[ -~]{1,4096}")
_RECEIVED = Answer(200, '{"received":true}')
_AWAY = answers.refusal(
    "SERVICE_UNAVAILABLE", "The event was not taken. Deliver it again.", retry_after_seconds=5
)
_NOT_SIGNED = Answer(
    400, '{"success":false,"error":"The signature does not fit","code":"INVALID_FIELDS"}'
)


class Webhooks:
    """The webhooks' paths, on a core, so many requests at once and no more."""

    def __init__(self, core: CoreClient, settings: AdapterSettings) -> None:
        self._core = core
        self._settings = settings
        self._in_flight = 0

    async def answer(self, request: web.Request, gateway: str) -> Answer:
        """Return the answer to one delivery."""
        try:
            body = await read_body(
                request.content,
                request.content_length,
                timeout_seconds=self._settings.body_timeout_seconds,
            )
        except BodyTooLarge:
            return answers.refusal("BODY_TOO_LARGE", "The request body is larger than 64 KiB")
        except InvalidJson:  # it broke off
            return _NOT_SIGNED
        if self._in_flight >= self._settings.max_in_flight:
            return answers.refusal(
                "RATE_LIMITED", "Too many requests at once", retry_after_seconds=1
            )
        value, header = _GATEWAYS[gateway]
        business_id = request.match_info["business_id"]
        signature = request.headers.get(header, "")
        if not (_BUSINESS_ID.fullmatch(business_id) and _SIGNATURE.fullmatch(signature) and body):
            return _NOT_SIGNED
        self._in_flight += 1
        try:
            return await self._hand_on(
                webhooks_pb2.ReceiveWebhookRequest(
                    business_id=business_id, gateway=value, body=body, signature=signature
                )
            )
        finally:
            self._in_flight -= 1

    async def _hand_on(self, event: webhooks_pb2.ReceiveWebhookRequest) -> Answer:
        if not self._settings.webhooks_token:
            logger.error("a webhook came, and NIVISCO_WEBHOOKS_TOKEN is not set")
            return _AWAY
        try:
            await self._core.call(
                _METHOD,
                event,
                Credentials(service_token=self._settings.webhooks_token),
                timeout_seconds=self._settings.core_timeout_seconds,
            )
        except CoreError as error:
            if error.reason == "INVALID_FIELDS":
                return _NOT_SIGNED
            logger.warning("webhook not taken: %s", error.reason)
            return _AWAY
        return _RECEIVED
