"""Part `one`: what a single client waits for a read and a debit by JSON, on PostgreSQL.

The read is compared with a bare aiohttp echo of the same requests. Part `sqlite` has the debit on
SQLite.
"""

from tests.bench.accounts import MANY
from tests.bench.calls import CHARGE, READ, json_requests
from tests.bench.figures import Figure, Result, at_most
from tests.bench.postgresql.contest import OURS
from tests.bench.run import Run
from tests.bench.samples import Spread, Turn, ratio, summary
from tests.bench.stack import script_process
from tests.bench.turns import in_turns

_ECHO = "echo"
MILLISECONDS_MAX = 1.5


async def measure(run: Run) -> Result:
    """Measure in turns, and check the books."""
    size = run.size
    async with run.contest() as contest:
        adapter = await contest.start_ours()
        echo = await contest.start(script_process(contest.directory, "echo"))
        accounts = contest.accounts[MANY]
        clients = {
            _ECHO: await contest.clients(echo, json_requests(echo, accounts, READ), 1),
            READ: await contest.clients(adapter, json_requests(adapter, accounts, READ), 1),
            CHARGE: await contest.clients(
                adapter, json_requests(adapter, accounts, CHARGE, keyed=True), 1
            ),
        }

        async def turn_of(way: str, seconds: float) -> Turn:
            turn = await contest.take_turn(clients[way], MANY, seconds)
            if way == CHARGE:
                contest.acknowledged[OURS][MANY] += len(turn.latencies)
            return turn

        turns = await in_turns(list(clients), turn_of, size)
        books = await contest.books()
    medians = {way: [turn.milliseconds(50) for turn in turns[way]] for way in turns}
    return Result(
        [
            Figure(
                "JSON read, one client / a bare aiohttp echo, median time",
                ratio(medians[READ], medians[_ECHO]),
                "x",
                at_most(8.0),
                f"{summary('read', turns[READ])}; {summary('echo', turns[_ECHO])}",
            ),
            Figure(
                "JSON debit, keyed, one client, PostgreSQL, median time",
                Spread.of(medians[CHARGE]),
                "ms",
                at_most(MILLISECONDS_MAX),
                summary("debit", turns[CHARGE]),
            ),
        ],
        books,
    )
