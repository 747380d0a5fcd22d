"""Follows payments that have an outcome which may still change, by asking their gateway.

Nothing of it runs inside a database transaction, except the write of what the gateway said.
"""

from collections.abc import Mapping

from core.credentials.service import CredentialsService
from core.database.transactions import Database
from core.gateways.gateway import Gateway
from core.idempotency.service import Idempotency
from core.payments.store import Payment


class Following:
    """Asks gateways for the state of payments that are not pending."""

    def __init__(
        self,
        database: Database,
        credentials: CredentialsService,
        gateways: Mapping[str, Gateway],
        idempotency: Idempotency,
    ) -> None:
        """Read states through `gateways`, by their names."""
        self._database = database
        self._credentials = credentials
        self._gateways = gateways
        self._idempotency = idempotency

    async def look(self, payment: Payment) -> None:
        """Read the payment's objects at its gateway, and apply what they show."""
