"""What time it is for a job: the database's, and for TEST jobs what their test clock adds."""

from dataclasses import dataclass
from datetime import datetime

from core.database.transactions import Transaction
from core.recurring import store


@dataclass(frozen=True, slots=True)
class JobClock:
    """The time that jobs see."""

    has_test_clocks: bool
    """Whether the test clocks count; where not, TEST jobs see the database's time too."""

    async def now_for(self, transaction: Transaction, business_id: str, env: str) -> datetime:
        """Return the present of a business's jobs in an environment."""
        if env != "TEST" or not self.has_test_clocks:
            return transaction.now
        return transaction.now + await store.clock_ahead(transaction, business_id=business_id)
