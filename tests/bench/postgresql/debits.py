"""Measures the same debit on one PostgreSQL by JSON, gRPC, pgbench and an ORM service.

Each debit checks the balance under a row lock, writes the wallet, one transaction and two postings,
and commits once. Ours and the ORM service also check the business's API key; only ours looks up the
user's wallet, the others get its id.
"""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from tests.bench.books import Books
from tests.bench.calls import CHARGED_CENTS, Call, Callers
from tests.bench.http_connection import post_request
from tests.bench.plan import Plan
from tests.bench.postgresql.contest import ORM, OURS, PGBENCH, Contest, running_contest
from tests.bench.postgresql.ledger import read_ledger
from tests.bench.samples import Spread, Throughput, Turn, ratio
from tests.bench.turns import in_turns, take_turn

WAYS = ("JSON", "gRPC", "pgbench", "ORM")
COMPARED = (("JSON", "pgbench"), ("gRPC", "pgbench"), ("JSON", "ORM"), ("gRPC", "ORM"))
_DATABASES = {"JSON": OURS, "gRPC": OURS, "pgbench": PGBENCH, "ORM": ORM}
_SERVING = ("adapter", "core", "service", "pgbench", "postgres")
"""All processes but the measuring client. pgbench counts, because it holds the SQL."""
_HOT, _SPREAD = "the hot wallet", "the others"
_ACTION = "charge_wallet"


@dataclass(frozen=True, slots=True)
class Comparison:
    """One variant / another."""

    per_second: Spread
    cpu: Spread
    """CPU time per debit of all processes but the measuring client."""


@dataclass(frozen=True, slots=True)
class DebitsOf:
    """All variants on one number of wallets."""

    wallets: int
    ways: dict[str, Throughput]
    compared: dict[str, Comparison]
    """`JSON / pgbench` and so on."""


@dataclass(frozen=True, slots=True)
class Debits:
    """The results of the contest."""

    settings: dict[str, str]
    """The server's."""
    clients: int
    rows: list[DebitsOf]
    books: dict[str, Books]
    """By database."""


@dataclass(frozen=True, slots=True)
class _Cell:
    hot: bool
    way: str


async def measure_debits(plan: Plan) -> Debits:
    """Run the contest and check the books of every variant.

    Raises:
        UnexpectedAnswer, CoreError: a debit failed, so the numbers are invalid.
    """
    async with running_contest(plan.debit_wallets, plan.debit_clients) as contest:
        acknowledged = {database: Counter[str]() for database in (OURS, PGBENCH, ORM)}
        callers = Callers(contest.business, list(contest.wallet_ids))
        try:
            turns = await _turns(contest, callers, plan, acknowledged)
        finally:
            callers.close()
        hot, *spread = contest.wallet_ids.values()
        groups = {hot: _HOT} | dict.fromkeys(spread, _SPREAD)
        return Debits(
            settings=await contest.server.settings(),
            clients=plan.debit_clients,
            rows=[_compared(turns, hot=is_hot, wallets=len(spread)) for is_hot in (False, True)],
            books={
                database: await read_ledger(contest.server.database_url(database), groups, counted)
                for database, counted in acknowledged.items()
            },
        )


async def _turns(
    contest: Contest, callers: Callers, plan: Plan, acknowledged: dict[str, Counter[str]]
) -> dict[_Cell, list[Turn]]:
    hot, *spread = contest.wallet_ids
    clients = {
        "JSON": [await callers.json(contest.adapter, _ACTION) for _ in range(plan.debit_clients)],
        "gRPC": [await callers.grpc(_ACTION) for _ in range(plan.debit_clients)],
        "ORM": await _orm_clients(contest, callers, plan.debit_clients),
    }
    cells = [_Cell(is_hot, way) for is_hot in (False, True) for way in WAYS]

    async def turn_of(cell: _Cell, seconds: float) -> Turn:
        if cell.way == "pgbench":
            numbers = range(1) if cell.hot else range(1, len(contest.wallet_ids))
            turn = await contest.pgbench.take_turn(contest.cpu_seconds, numbers, seconds)
        else:
            user_ids = [hot] if cell.hot else spread
            turn = await take_turn(contest.cpu_seconds, clients[cell.way], user_ids, seconds)
        group = _HOT if cell.hot else _SPREAD
        acknowledged[_DATABASES[cell.way]][group] += len(turn.latencies)
        return turn

    return await in_turns(cells, turn_of, plan.debits(len(cells)))


async def _orm_clients(contest: Contest, callers: Callers, count: int) -> list[Call]:
    credentials, server = contest.business.credentials, contest.service
    headers = {"X-Business-Id": credentials.business_id, "X-Api-Key": credentials.api_key}
    body = json.dumps({"amount": CHARGED_CENTS / 100}).encode()
    requests = {
        user_id: post_request(
            server.host, server.port, body, f"/wallets/{wallet_id}/charge", headers
        )
        for user_id, wallet_id in contest.wallet_ids.items()
    }
    return [await callers.http(server, requests) for _ in range(count)]


def _compared(turns: dict[_Cell, list[Turn]], *, hot: bool, wallets: int) -> DebitsOf:
    of_way = {way: turns[_Cell(hot, way)] for way in WAYS}
    return DebitsOf(
        wallets=1 if hot else wallets,
        ways={way: Throughput.of(of_way[way]) for way in WAYS},
        compared={
            f"{one} / {other}": Comparison(
                per_second=ratio(_per_second(of_way[one]), _per_second(of_way[other])),
                cpu=ratio(_serving_cpu(of_way[one]), _serving_cpu(of_way[other])),
            )
            for one, other in COMPARED
        },
    )


def _per_second(turns: Sequence[Turn]) -> list[float]:
    return [turn.per_second for turn in turns]


def _serving_cpu(turns: Sequence[Turn]) -> list[float]:
    return [sum(turn.cpu_microseconds(name) for name in _SERVING) for turn in turns]
