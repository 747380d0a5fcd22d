"""Waits until changes are in the audit trail."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

from nivisco.payments.v1 import audit_pb2 as pb
from tests.core.running import Business

Events = Sequence[pb.AuditEvent]


async def events_when(
    business: Business, is_there: Callable[[Events], bool], **filters: Any
) -> Events:
    """Return the business's events, newest first, once they are as wanted."""
    async with asyncio.timeout(30):
        while True:
            listed = await business.call(pb.ListAuditEventsRequest(limit=100, **filters))
            if is_there(listed.events):
                return list(listed.events)
            await asyncio.sleep(0.02)
