"""What captures and voids need: authorized payments at the gateways."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from tests.prove.operations import AT_AUTHORIZE, Operation

if TYPE_CHECKING:
    from tests.prove.clients import Clients

MIX: Final = ("reserve", "reserve", "capture", "void")
"""Kinds of operations that scenarios with captures have at random."""


class Authorizations:
    """The authorized payments of a scenario, each for one operation that captures or voids it."""

    def __init__(self) -> None:
        self._open: dict[bool, list[str]] = {False: [], True: []}
        """By whether they are at Authorize.Net."""

    async def set_up(self, clients: "Clients", kinds: Sequence[str], tries: int) -> None:
        """Authorize what operations of these kinds need, each `tries` times at each gateway."""
        for _ in range(tries * sum(closes(kind) for kind in kinds)):
            await clients.complete("reserve")
            if clients.has_authorize:
                await clients.complete(AT_AUTHORIZE["reserve"])

    def can(self, kind: str) -> bool:
        """Return whether there is what an operation of this kind needs."""
        return not closes(kind) or bool(self._open[_is_authorize(kind)])

    def take(self, kind: str) -> str:
        """Return the payment of the next operation of a kind."""
        return self._open[_is_authorize(kind)].pop(0)

    def executed(self, operation: Operation) -> None:
        """Keep the payment that an operation authorized."""
        if operation.is_reservation:
            response = operation.response()
            self._open[operation.is_authorize].append(response.payment_id)


def closes(kind: str) -> bool:
    """Return whether operations of a kind capture or void a payment."""
    return kind in ("capture", "void", AT_AUTHORIZE["capture"], AT_AUTHORIZE["void"])


def _is_authorize(kind: str) -> bool:
    return kind in AT_AUTHORIZE.values()
