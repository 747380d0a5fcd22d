"""Erases a person: what identifies a user goes for good, and the books stay."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass

from core.audit.store import erase_addresses
from core.database.transactions import Database, Transaction
from core.errors import InvalidFields
from core.ids import new_decision_id
from core.operator import erasure_store as store
from core.operator.erasure_store import GatewayCustomer
from core.payments import decision_store
from core.payments.decision_rules import Action, Decision, Subject
from core.payments.decisions import Operator
from core.security.keyring import Keyring
from core.users import store as users_store
from core.users.service import existing_user
from core.users.store import User

logger = logging.getLogger("core")

ERASED_NAME = "Erased user"


@dataclass(frozen=True, slots=True)
class Erased:
    """A user after the erasure."""

    user: User
    decision: Decision
    cleared: int
    """Rows beside the user's whose metadata was cleared."""
    customers: Sequence[GatewayCustomer]
    """The gateways keep what they were sent of them."""


class Erasure:
    """The use case."""

    def __init__(self, database: Database, keyring: Keyring) -> None:
        """Erase in `database`; `keyring` seals the key of an audit chain that is begun."""
        self._database = database
        self._keyring = keyring

    async def erase(self, business_id: str, user_id: str, operator: Operator) -> Erased:
        """Erase a user's name, email address and metadata, and that of what belongs to the user.

        Also where requests about the user came from.

        The user's row is first, with the decision; then the rest follows in small transactions. One
        that was interrupted is continued by the next call.

        Raises:
            Refusal: USER_NOT_FOUND.
            InvalidFields: the user has something that may still be sent to a gateway.
        """
        async with self._database.transaction("operator.erase") as transaction:
            await existing_user(transaction, business_id, user_id, lock=True)
            await _check_finished(transaction, business_id, user_id)
            user = await users_store.update_user(
                transaction,
                business_id=business_id,
                user_id=user_id,
                updates={
                    "name": ERASED_NAME,
                    # A name that no mail reaches: RFC 2606, section 2.
                    "email": f"{user_id.lower()}@erased.invalid",
                    "active": False,
                    "metadata": None,
                },
            )
            assert user is not None, "its row is locked"
            decision = Decision(
                business_id=business_id,
                decision_id=new_decision_id(),
                subject=Subject.USER,
                subject_id=user_id,
                action=Action.ERASE,
                decided_by=operator.name,
                reason=operator.reason,
                decided_at=transaction.now,
            )
            await decision_store.insert_decision(transaction, decision)
            await erase_addresses(transaction, business_id, user_id, self._keyring)
            customers = await store.customers_of(
                transaction, business_id=business_id, user_id=user_id
            )
        erased = Erased(user, decision, await self._clear(business_id, user_id), customers)
        logger.info(
            "user erased",
            extra={"user_id": user_id, "decision_id": decision.decision_id},
        )
        return erased

    async def _clear(self, business_id: str, user_id: str) -> int:
        total = 0
        while True:
            async with self._database.transaction("operator.clear") as transaction:
                cleared = await store.clear_metadata(
                    transaction, business_id=business_id, user_id=user_id
                )
            total += cleared
            if not cleared:
                return total


async def _check_finished(transaction: Transaction, business_id: str, user_id: str) -> None:
    unfinished = await store.unfinished(transaction, business_id=business_id, user_id=user_id)
    if unfinished:
        has = ", ".join(f"{what} ({number})" for what, number in unfinished.items())
        raise InvalidFields.of(
            "user_id",
            f"has {has}: remove cards, cancel jobs, and let payments and refunds end first",
        )
