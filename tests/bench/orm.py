"""Part `orm`: a debit and a read by JSON, beside a FastAPI service with SQLAlchemy's ORM.

Both check the business's API key. The service is one process with the tables, the driver and as
many connections as a core; it has no idempotency keys, so ours are sent none.
"""

from itertools import product

from tests.bench.accounts import MANY
from tests.bench.calls import CHARGE, READ, json_requests, orm_requests
from tests.bench.figures import Figure, Result, at_least
from tests.bench.postgresql.contest import ORM, OURS
from tests.bench.run import Run
from tests.bench.samples import Turn, per_second_ratio, summary
from tests.bench.turns import in_turns


async def measure(run: Run) -> Result:
    """Measure in turns, and check the books of both."""
    size = run.size
    async with run.contest() as contest:
        accounts = contest.accounts[MANY]
        adapter, service = await contest.start_ours(), await contest.start_orm_service()
        clients = {
            (database, action): await contest.clients(
                server, requests(server, accounts, action), size.clients
            )
            for database, server, requests in (
                (OURS, adapter, json_requests),
                (ORM, service, orm_requests),
            )
            for action in (CHARGE, READ)
        }

        async def turn_of(cell: tuple[str, str], seconds: float) -> Turn:
            turn = await contest.take_turn(clients[cell], MANY, seconds)
            database, action = cell
            if action == CHARGE:
                contest.acknowledged[database][MANY] += len(turn.latencies)
            return turn

        turns = await in_turns(list(product((OURS, ORM), (CHARGE, READ))), turn_of, size)
        books = await contest.books()
    return Result(
        [
            Figure(
                f"{name}, {size.clients} clients / FastAPI and the ORM",
                per_second_ratio(turns[OURS, action], turns[ORM, action]),
                "x",
                at_least(8.0),
                f"{summary('ours', turns[OURS, action])}; {summary('ORM', turns[ORM, action])}",
            )
            for name, action in (("JSON debit", CHARGE), ("JSON read", READ))
        ],
        books,
    )
