"""Prints how fast the API is in ratios of one run: `make bench`, or `python -m tests.bench`.

Core, adapter and a bare aiohttp echo run as processes of their own on 127.0.0.1, with a new SQLite
database in a temporary directory; then core and adapter on a PostgreSQL server from pip, in turns
with pgbench and a plain ORM service on the same server. Nothing is compared with another run or
another machine. The setting BENCH_SECONDS says for how long to measure, 180 if absent; starting,
stopping and finishing what is in flight come on top, and twice that time and two minutes is the end
in any case.
"""

import os

# Processes are spawned beside open channels, and gRPC would remark on each. It reads this once.
os.environ["GRPC_ENABLE_FORK_SUPPORT"] = "0"

import asyncio
import json
import signal
import sys
from pathlib import Path

import click
import uvloop

from rpc.errors import CoreError
from tests.bench.http_connection import UnexpectedAnswer
from tests.bench.plan import Plan, read_seconds
from tests.bench.report import Report, measure
from tests.bench.table import render


@click.command()
@click.option(
    "--json",
    "json_file",
    metavar="FILE",
    type=click.Path(path_type=Path, dir_okay=False, writable=True),
    help="Write every number to FILE too.",
)
@click.option("--small", is_flag=True, help="Measure next to nothing: a test of the bench itself.")
def main(json_file: Path | None, *, small: bool) -> None:
    """Measure for BENCH_SECONDS (180 if absent) and print the ratios."""
    try:
        plan = Plan.small() if small else Plan.of(read_seconds(os.environ.get("BENCH_SECONDS", "")))
    except ValueError as error:
        raise click.ClickException(str(error)) from None
    try:
        report = uvloop.run(_measured(plan))
    except (UnexpectedAnswer, CoreError) as error:
        raise click.ClickException(f"A request failed, which ends the run: {error}") from None
    except TimeoutError:
        raise click.ClickException(f"Not done after {plan.limit_seconds:.0f} s.") from None
    except asyncio.CancelledError:
        raise click.Abort from None
    click.echo(render(report))
    if json_file is not None:
        json_file.write_text(json.dumps(report.as_json(), indent=2) + "\n")
    if not report.balances:
        sys.exit(1)


async def _measured(plan: Plan) -> Report:
    """Measure within the plan's limit; SIGTERM stops it in order, as Ctrl-C does."""
    task = asyncio.current_task()
    assert task is not None, "a coroutine runs in a task"
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    async with asyncio.timeout(plan.limit_seconds):
        return await measure(plan)


if __name__ == "__main__":
    main()
