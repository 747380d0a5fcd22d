"""Part `debits`: charge_wallet by JSON, beside pgbench with the same debit in hand-written SQL.

Each debit checks the balance under a row lock, writes the wallet, one transaction and two postings,
and commits once. Only ours checks an API key, looks up the user's wallet, and keeps an idempotency
record. pgbench has a connection and a round trip a statement for each client.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from tests.bench.accounts import HOT, MANY, ONE
from tests.bench.calls import CHARGE, Call, json_requests
from tests.bench.figures import Figure, Result, at_least, at_most
from tests.bench.postgresql.contest import OURS, PGBENCH, Contest
from tests.bench.postgresql.pgbench import Pgbench
from tests.bench.run import Run
from tests.bench.samples import Spread, Turn, per_second_ratio, ratio, summary
from tests.bench.size import Size
from tests.bench.turns import in_turns


@dataclass(frozen=True, slots=True)
class _Cell:
    way: str
    """`keyed`, `unkeyed` or `pgbench`."""
    clients: int
    group: str


async def measure(run: Run) -> Result:
    """Measure in turns, and check the books of both."""
    size = run.size
    few, many = size.clients, size.many_clients
    cells = [_Cell("unkeyed", few, MANY), _Cell("keyed", few, HOT), _Cell("pgbench", few, HOT)] + [
        _Cell(way, clients, group)
        for clients in (few, many)
        for group in (MANY, ONE)
        for way in ("keyed", "pgbench")
    ]
    async with run.contest() as contest:
        turns = await _turns(contest, cells, size)
        books, settings = await contest.books(), await contest.server.settings()

    def compared(clients: int, group: str, bound: float) -> Figure:
        ours, theirs = (
            turns[_Cell("keyed", clients, group)],
            turns[_Cell("pgbench", clients, group)],
        )
        return Figure(
            f"JSON debit, keyed, {_name(group, size)}, {clients} clients / pgbench, {clients}",
            per_second_ratio(ours, theirs),
            "x",
            at_least(bound),
            f"{summary('JSON', ours)}; {summary('pgbench', theirs)}",
        )

    keyed, unkeyed = turns[_Cell("keyed", few, MANY)], turns[_Cell("unkeyed", few, MANY)]
    cost = ratio([turn.per_second for turn in unkeyed], [turn.per_second for turn in keyed])
    figures = [
        compared(few, MANY, 1.0),
        compared(few, ONE, 1.0),
        compared(many, MANY, 1.3),
        compared(many, ONE, 1.3),
        compared(few, HOT, 4.0),
        Figure(
            f"what a key adds to a JSON debit, {few} clients",
            Spread((cost.median - 1) * 100, cost.percent),
            "%",
            at_most(25.0),
            summary("without a key", unkeyed),
        ),
        Figure(
            f"p99 / p50 of a JSON debit, {few} clients, closed loop",
            ratio([t.milliseconds(99) for t in keyed], [t.milliseconds(50) for t in keyed]),
            "x",
            at_most(3.0),
            f"the server: {settings}",
        ),
    ]
    return Result(figures, books)


async def _turns(contest: Contest, cells: list[_Cell], size: Size) -> dict[_Cell, list[Turn]]:
    adapter, pgbench = await contest.start_ours(), await contest.start_pgbench()
    accounts = [account for group in contest.accounts.values() for account in group]
    clients: dict[str, Sequence[Call]] = {
        "keyed": await contest.clients(
            adapter, json_requests(adapter, accounts, CHARGE, keyed=True), size.many_clients
        ),
        "unkeyed": await contest.clients(
            adapter, json_requests(adapter, accounts, CHARGE), size.clients
        ),
    }

    async def turn_of(cell: _Cell, seconds: float) -> Turn:
        turn = await _turn(contest, clients, pgbench, cell, seconds)
        database = PGBENCH if cell.way == "pgbench" else OURS
        contest.acknowledged[database][cell.group] += len(turn.latencies)
        return turn

    return await in_turns(cells, turn_of, size)


async def _turn(
    contest: Contest,
    clients: dict[str, Sequence[Call]],
    pgbench: Pgbench,
    cell: _Cell,
    seconds: float,
) -> Turn:
    if cell.way == "pgbench":
        numbers = contest.numbers(cell.group)
        return await pgbench.take_turn(contest.cpu_seconds, cell.clients, numbers, seconds)
    return await contest.take_turn(clients[cell.way][: cell.clients], cell.group, seconds)


def _name(group: str, size: Size) -> str:
    if group == HOT:
        return HOT
    owners = f"{size.businesses} businesses" if group == MANY else "one business"
    return f"{size.wallets:,} wallets of {owners}"
