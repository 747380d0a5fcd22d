"""The operator of a scenario: ends the refunds that no core can, as the gateway's books say."""

import asyncio
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from core.payments.rules import resume_policies
from nivisco.internal.v1 import operator_pb2
from rpc.errors import CoreError
from rpc.metadata import Credentials
from sandbox.authorize.calls import REFUNDED
from tests.core.running import OPERATOR_TOKEN
from tests.prove.environment import Environment
from tests.prove.gateway_side import GatewaySide

Row = dict[str, Any]
OPERATOR: Final = Credentials(service_token=OPERATOR_TOKEN)
GIVEN_UP_AFTER: Final[timedelta] = resume_policies()["authorize"].review_after
"""After this a core that is shown nothing of a refund at Authorize.Net sets it aside."""


ATTEMPTS: Final = 60
PAUSE_SECONDS: Final = 0.05


class Operator:
    """Who looks into the merchant interface and decides."""

    def __init__(self, environment: Environment, gateway_side: GatewaySide) -> None:
        self._environment = environment
        self._gateway_side = gateway_side

    async def decide(self, refunds: Sequence[Row]) -> None:
        """Decide the refunds that a core has set aside."""
        for row in refunds:
            if row["set_aside_at"]:
                await self._decide(row)

    async def decide_old(self, refunds: Sequence[Row]) -> None:
        """Decide the refunds whose clients still ask after a core would set them aside.

        Each request looks at the refund and puts off the core's own look, and nothing is decided
        during one.
        """
        for row in refunds:
            since = datetime.fromisoformat(row["first_sent_at"])
            is_old = self._environment.clock.now() - since > GIVEN_UP_AFTER
            if row["attempt"] and row["gateway"] == "authorize" and is_old:
                for _ in range(ATTEMPTS):
                    if await self._decide(row):
                        break
                    await asyncio.sleep(PAUSE_SECONDS)

    async def _decide(self, row: Row) -> bool:
        """Decide a refund, and return whether that is done; not while a core looks at it."""
        made = await self._made(row["refund_id"])
        resolution = (
            operator_pb2.REFUND_RESOLUTION_SUCCEEDED
            if made
            else operator_pb2.REFUND_RESOLUTION_FAILED
        )
        request = operator_pb2.ResolveRefundRequest(
            refund_id=row["refund_id"],
            business_id=row["business_id"],
            resolution=resolution,
            transaction_id=made,
            decided_by="operator",
            reason="as the merchant interface shows",
        )
        words = f"{row['refund_id']} as {'made' if made else 'not made'}"
        try:
            await self._environment.call(OPERATOR, request)
        except CoreError as error:
            self._environment.note(f"{words}, refused: {error.message}", who="operator")
            return False
        self._environment.note(words, who="operator")
        return True

    async def _made(self, refund_id: str) -> str | None:
        """Return the id of the transaction that made a refund at Authorize.Net, or None."""
        _, authorize = await self._gateway_side.books()
        for each in authorize.get("transactions", []):
            if each["invoice_number"] == refund_id and each["status"] in REFUNDED:
                return str(each["id"])
        return None
