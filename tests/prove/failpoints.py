"""Named places at which the proof kills a core: around each commit, and around each gateway call.

They are laid around a core by its test composition (`tests.prove.core_process`). Production code
knows nothing of them and pays nothing. A commit's place is where the use case opened its
transaction, found in the source, so that a new transaction in core/ is a new failpoint by itself.
"""

import ast
import os
import signal
import sys
import time
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from types import FrameType
from typing import Any, Final, TypeGuard, TypeVar

from sqlalchemy.ext.asyncio import AsyncConnection

from core.gateways.authorize.gateway import AuthorizeGateway
from core.gateways.gateway import Account, ChargeOrder, ChargeOutcome, SavedCard
from core.gateways.stripe.gateway import StripeGateway
from rpc.catalogue import mutating_actions

CORE: Final = Path(__file__).parents[2] / "core"
_AT_ONCE: Final = "idempotency.pipeline.IdempotencyInterceptor._run_in_one_transaction"
_OPENERS: Final = ("transaction", "shared_transaction")
VERBS: Final = ("charge", "save_card", "create_customer", "look_up_charge")
BESIDE: Final = ("before", "after")

READ_ONLY: Final = {
    # A commit that changed nothing leaves nothing half done: what lies between two writes is
    # covered by the write before and the one after.
    "authentication.service.AuthenticationService._read_businesses": "reads",
    "authentication.service.AuthenticationService.authenticate_retired": "reads",
    "cards.service.CardsService.list_cards": "reads",
    "cards.service.CardsService.primary": "reads",
    "credentials.service.CredentialsService.stripe_public_key": "reads",
    "database.transactions.Database.migration": "runs before a core serves",
    "database.transactions.Database.ping": "reads",
    "database.transactions.Database.shared_transaction": "is named by its caller",
    "idempotency.service.Idempotency.took_place": "rolls back",
    "idempotency.pipeline.IdempotencyInterceptor._keep_or_replay": "reads",
    "database.migrations.upgrade.check_schema": "reads",
    "database.migrations.upgrade.migrate": "runs before a core serves; its own tests kill it",
    "payments.service.PaymentsService.charge": "reads",
    "payments.service.PaymentsService.list_payments": "reads",
    "recurring.test_clock.TestClockAdvance.advance": "needs a test clock, which no core here has",
    "recurring.claims.Claims.claim": "its own tests kill it: tests/core/recurring",
    "recurring.claims.Claims.renew": "likewise",
    "recurring.execution.Execution.execute": "likewise",
    "recurring.execution.Execution.charge": "likewise",
    "recurring.service.RecurringService.list_jobs": "reads",
    "recurring.service.RecurringService.list_logs": "reads",
    "users.service.UsersService.get": "reads",
    "users.service.UsersService.list_active": "reads",
    "wallet.service.WalletService.get": "reads; makes an empty wallet where there was none",
    "wallet.service.WalletService.history": "reads; makes an empty wallet where there was none",
    "webhooks.service.WebhooksService._env_of": "reads",
    "webhooks.service.WebhooksService.go_on": "puts off, and repeats what receive does",
    "webhooks.service.WebhooksService._look_up_and_apply": "reads, and repeats what receive does",
    "webhooks.service.WebhooksService.receive": "one commit, which the gateway has repeated: a "
    "kill leaves nothing or all of it, and the proof's gateway sends no events yet",
    "business.service.BusinessService.create_admin": "the operator's, which repeats it by hand",
}
"""Sites that are no failpoints, and why."""

_PART_OF_AT_ONCE: Final = frozenset(
    f"{name}"
    for name in (
        "business.service.BusinessService.register",
        "business.service.BusinessService.modify",
        "business.service.BusinessService.change_api_key",
        "credentials.service.CredentialsService.add",
        "credentials.service.CredentialsService.modify",
        "recurring.service.RecurringService.create",
        "recurring.service.RecurringService.update",
        "recurring.service.RecurringService._stop",
        "recurring.service.RecurringService.resume",
        "users.service.UsersService.create",
        "users.service.UsersService.update",
    )
)
"""Sites whose transaction is part of the interceptor's, which commits for them."""

_NO_EFFECT: Final = {
    # Background work that found nothing to do: the local that must hold something.
    "payments.sweep.Sweep.run": "due",
    "idempotency.service.Idempotency._reap_some": "found",
}


def commit_sites() -> list[str]:
    """Return every place in core/ where a transaction is opened that writes, by its name."""
    found = [name for path in sorted(CORE.rglob("*.py")) for _, _, name in _sites_of(str(path))]
    plain = [
        name for name in found if name.partition("#")[0] not in {*READ_ONLY, *_PART_OF_AT_ONCE}
    ]
    at_once = [f"{_AT_ONCE}/{action}" for action in actions_at_once()]
    return [name for name in plain if name != _AT_ONCE] + at_once


def actions_at_once() -> list[str]:
    """Return the mutating actions that commit once and are there."""
    return [
        method.descriptor.name
        for method in mutating_actions().values()
        if not method.keeps_own_idempotency_record
        and method.descriptor.containing_service.name != "RecurringService"
    ]


def failpoints() -> list[str]:
    """Return the names of all failpoints."""
    places = [*commit_sites(), *(f"gateway.{verb}" for verb in VERBS)]
    return [f"{place}.{beside}" for place in places for beside in BESIDE]


@cache
def _sites_of(path: str) -> tuple[tuple[int, int, str], ...]:
    """Return first and last line, and name, of the transactions that a file opens."""
    module = ".".join(Path(path).relative_to(CORE).with_suffix("").parts)
    sites: list[tuple[int, int, str]] = []
    for qualified, function in _functions(ast.parse(Path(path).read_text()), ""):
        blocks = [node for node in ast.walk(function) if _opens_transaction(node)]
        for number, block in enumerate(sorted(blocks, key=lambda node: node.lineno), start=1):
            name = f"{module}.{qualified}" + (f"#{number}" if len(blocks) > 1 else "")
            sites.append((block.lineno, block.end_lineno or block.lineno, name))
    return tuple(sites)


def _functions(tree: ast.AST, prefix: str) -> Iterator[tuple[str, ast.AsyncFunctionDef]]:
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.AsyncFunctionDef):
            yield prefix + node.name, node
        elif isinstance(node, ast.ClassDef):
            yield from _functions(node, f"{prefix}{node.name}.")


def _opens_transaction(node: ast.AST) -> TypeGuard[ast.AsyncWith]:
    return isinstance(node, ast.AsyncWith) and any(
        isinstance(item.context_expr, ast.Call)
        and isinstance(item.context_expr.func, ast.Attribute)
        and item.context_expr.func.attr in _OPENERS
        for item in node.items
    )


def _site_of_commit() -> str | None:
    """Name the transaction that the running task commits; None: it is no failpoint."""
    frame: FrameType | None = sys._getframe(2)
    database = str(CORE / "database.py")
    while frame is not None:
        path = frame.f_code.co_filename
        if path.startswith(f"{CORE}/") and path != database:
            return _named(path, frame)
        frame = frame.f_back
    return None


def _named(path: str, frame: FrameType) -> str | None:
    name = _name_at(path, frame.f_lineno)
    if name is None or name.partition("#")[0] in READ_ONLY:
        return None
    if name == _AT_ONCE:
        return f"{name}/{frame.f_locals['call'].action}"
    needed = _NO_EFFECT.get(name)
    return None if needed and not frame.f_locals.get(needed) else name


@cache
def _name_at(path: str, line: int) -> str | None:
    around = [site for site in _sites_of(path) if site[0] <= line <= site[1]]
    return max(around)[2] if around else None  # the innermost


class Failpoints:
    """What one process passes, written down as it does, and where it is to be killed."""

    def __init__(self, journal: int, name: str) -> None:
        """Write to the open file `journal`, which outlives the process, as the process `name`."""
        self._journal = journal
        self._name = name
        self._armed: tuple[str, int] | None = None

    def arm(self, point: str | None, hits: int = 1) -> None:
        """Kill this process when it passes the failpoint so many times from now on."""
        self._armed = (point, hits) if point else None

    def passes(self, point: str) -> None:
        """Note that a failpoint is passed; never return from the one that is armed."""
        killed = False
        if self._armed is not None and self._armed[0] == point:
            left = self._armed[1] - 1
            self._armed = (point, left)
            killed = left == 0
        self.note(f"KILLED at {point}" if killed else point)
        if killed:
            os.kill(os.getpid(), signal.SIGKILL)
            signal.pause()

    def note(self, text: str) -> None:
        """Write a line of the story."""
        os.write(self._journal, f"{time.time():.4f} {self._name} {text}\n".encode())


def lay_around_commits(points: Failpoints) -> None:
    """Have every commit of this process pass a failpoint before and after."""
    commit = AsyncConnection.commit

    async def commit_between(self: AsyncConnection) -> None:
        site = _site_of_commit()
        if site is None:
            await commit(self)
            return
        points.passes(f"{site}.before")
        await commit(self)
        points.passes(f"{site}.after")

    AsyncConnection.commit = commit_between  # type: ignore[method-assign]


_Gateway = TypeVar("_Gateway", StripeGateway, AuthorizeGateway)


def with_failpoints(gateway: type[_Gateway], points: Failpoints) -> type[_Gateway]:
    """Return the gateway whose verbs pass a failpoint before and after, the same for each."""

    class ProvedGateway(gateway):  # type: ignore[valid-type,misc] # a class made of the one given
        async def create_customer(self, account: Account, **asked: str) -> str:
            points.passes("gateway.create_customer.before")
            made: str = await super().create_customer(account, **asked)
            points.passes("gateway.create_customer.after")
            return made

        async def create_customer_with_card(
            self, account: Account, **asked: Any
        ) -> tuple[str, SavedCard]:
            points.passes("gateway.create_customer.before")
            made: tuple[str, SavedCard] = await super().create_customer_with_card(account, **asked)
            points.passes("gateway.create_customer.after")
            return made

        async def save_card(self, account: Account, **asked: Any) -> SavedCard:
            points.passes("gateway.save_card.before")
            saved: SavedCard = await super().save_card(account, **asked)
            points.passes("gateway.save_card.after")
            return saved

        async def charge(self, account: Account, order: ChargeOrder) -> ChargeOutcome:
            points.passes("gateway.charge.before")
            outcome: ChargeOutcome = await super().charge(account, order)
            points.passes("gateway.charge.after")
            return outcome

        async def look_up_charge(
            self, account: Account, order: ChargeOrder
        ) -> ChargeOutcome | None:
            points.passes("gateway.look_up_charge.before")
            outcome: ChargeOutcome | None = await super().look_up_charge(account, order)
            points.passes("gateway.look_up_charge.after")
            return outcome

    return ProvedGateway


def passed(journal: str) -> Counter[str]:
    """Count the failpoints that a journal shows as passed or killed at."""
    return Counter(
        line.split(" ", 2)[2].removeprefix("KILLED at ") for line in journal.splitlines()
    )
