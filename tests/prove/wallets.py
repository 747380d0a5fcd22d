"""What operations on wallets need: a receiver of transfers, open holds, and a user who owes."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from google.type.money_pb2 import Money

from tests.prove.operations import Caller, Operation
from tests.prove.requests import Target

if TYPE_CHECKING:
    from tests.prove.clients import Clients

MIX: Final = ("transfer", "hold", "hold", "capture_hold", "release_hold")
"""Kinds of operations that scenarios with holds have at random."""
KINDS: Final = frozenset((*MIX, "short_hold", "settle"))
CLOSING: Final = ("capture_hold", "release_hold")
_DEBT: Final = Money(units=500)


class Wallets:
    """The receiver, the holds and the debtor of a scenario."""

    def __init__(self) -> None:
        self._receiver = ""
        self._debtor = ""
        self._open_holds: list[str] = []
        """Each for one operation that closes it."""

    async def set_up(self, clients: "Clients", kinds: Sequence[str], tries: int) -> None:
        """Create what operations of these kinds need, each `tries` times."""
        if not KINDS & {*kinds}:
            return
        self._receiver = await clients.create_user(None)
        for _ in range(tries * sum(kind in CLOSING for kind in kinds)):
            await clients.complete("hold")
        if "settle" in kinds:
            self._debtor = await create_debtor(clients)

    def can(self, kind: str) -> bool:
        """Return whether there is what an operation of this kind needs."""
        return kind not in CLOSING or bool(self._open_holds)

    def target(self, kind: str, caller: Caller, payer: str) -> Target:
        """Return the target of the next operation of a kind."""
        user_id = (self._debtor or payer) if kind == "settle" else payer
        closes = kind in CLOSING and self._open_holds
        return Target(
            caller, user_id, other_id=self._open_holds.pop(0) if closes else self._receiver
        )

    def executed(self, operation: Operation) -> None:
        """Keep the hold that an operation opened."""
        if operation.kind == "hold":
            self._open_holds.append(operation.response().hold_id)


async def create_debtor(clients: "Clients") -> str:
    """Create a user whose funding was refunded after it was spent, and who has money again."""
    user_id = await clients.create_user("pm_card_visa")
    funded = await clients.fund_to_refund("fund", user_id)
    spent = clients.new("debit", user_id=user_id, is_keyed=True)
    spent.request.amount.CopyFrom(funded.request.amount)
    refund = clients.new("give_back", user_id=user_id, is_keyed=True)
    refund.request.amount.CopyFrom(_DEBT)
    for each in (spent, refund, clients.new("credit", user_id=user_id, is_keyed=True)):
        await clients.run(each)
    return user_id
