"""Part `workers`: two cores and two adapters beside one of each, on one PostgreSQL database.

Each adapter calls every core of its own side. All processes share this machine's processors with
the clients and the database, so two of each can be no faster where one of each leaves none idle.
"""

from tests.bench.accounts import MANY
from tests.bench.calls import CHARGE, Call, json_requests
from tests.bench.figures import Figure, Result, at_least
from tests.bench.postgresql.contest import OURS, Contest
from tests.bench.run import Run
from tests.bench.samples import Turn, per_second_ratio, summary
from tests.bench.size import Size
from tests.bench.stack import adapter_process
from tests.bench.turns import in_turns


async def measure(run: Run) -> Result:
    """Measure in turns, and check the books."""
    size = run.size
    async with run.contest() as contest:
        await contest.create(OURS)
        clients = {number: await _clients(contest, number, size) for number in (1, 2)}

        async def turn_of(number: int, seconds: float) -> Turn:
            turn = await contest.take_turn(clients[number], MANY, seconds)
            contest.acknowledged[OURS][MANY] += len(turn.latencies)
            return turn

        turns = await in_turns(list(clients), turn_of, size)
        books = await contest.books()
    return Result(
        [
            Figure(
                f"two cores and two adapters / one each, JSON debit, keyed, {size.clients} clients",
                per_second_ratio(turns[2], turns[1]),
                "x",
                at_least(1.0),
                f"{summary('two', turns[2])}; {summary('one', turns[1])}",
            )
        ],
        books,
    )


async def _clients(contest: Contest, number: int, size: Size) -> list[Call]:
    """Start so many cores and adapters, and return clients, in turns one for each adapter."""
    cores = [
        await contest.start(contest.core, f"core {nth} of {number}") for nth in range(1, number + 1)
    ]
    accounts, of_adapters = contest.accounts[MANY], []
    for nth in range(1, number + 1):
        adapter = await contest.start(
            adapter_process(contest.directory, *cores), f"adapter {nth} of {number}"
        )
        requests = json_requests(adapter, accounts, CHARGE, keyed=True)
        of_adapters.append(await contest.clients(adapter, requests, size.clients // number))
    return [client for clients in zip(*of_adapters, strict=True) for client in clients]
