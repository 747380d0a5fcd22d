"""Part `steady`: how long JSON debits take while they arrive at a steady rate, on PostgreSQL.

The rate is half of what the same clients reach in a closed loop right before, in the same run.
Requests are sent on schedule, whatever earlier ones take, and their time counts from when they were
due (see `take_steady_turn`). The schedule has half a millisecond of error.
"""

import statistics

from tests.bench.accounts import MANY
from tests.bench.calls import CHARGE, json_requests
from tests.bench.figures import Figure, Result, at_most
from tests.bench.postgresql.contest import OURS
from tests.bench.run import Run
from tests.bench.samples import Spread, Turn, summary
from tests.bench.turns import in_turns, take_steady_turn

_CLOSED, _STEADY = "closed loop", "half load"


async def measure(run: Run) -> Result:
    """Measure the closed loop first, then half of its rate, and check the books."""
    size = run.size
    async with run.contest() as contest:
        adapter = await contest.start_ours()
        accounts = contest.accounts[MANY]
        requests = json_requests(adapter, accounts, CHARGE, keyed=True)
        clients = await contest.clients(adapter, requests, size.many_clients)
        users = [account.user_id for account in accounts]
        half_load = 0.0

        async def turn_of(way: str, seconds: float) -> Turn:
            if way == _CLOSED:
                turn = await contest.take_turn(clients[: size.clients], MANY, seconds)
            else:
                turn = await take_steady_turn(
                    contest.cpu_seconds, clients, users, 2 * seconds, half_load
                )
            contest.acknowledged[OURS][MANY] += len(turn.latencies)
            return turn

        turns = await in_turns([_CLOSED], turn_of, size)
        half_load = statistics.median(turn.per_second for turn in turns[_CLOSED]) / 2
        turns |= await in_turns([_STEADY], turn_of, size)
        books = await contest.books()
    steady = turns[_STEADY]
    return Result(
        [
            Figure(
                f"JSON debit, keyed, {name} at half load, open loop",
                Spread.of([turn.milliseconds(percent) for turn in steady]),
                "ms",
                goal,
                detail,
            )
            for name, percent, goal, detail in (
                ("p50", 50.0, None, ""),
                ("p99", 99.0, at_most(10.0), summary(f"{half_load:,.0f}/s due:", steady)),
                ("p99.9", 99.9, None, ""),
            )
        ],
        books,
    )
