"""The benchmark: prints the speed of the API as ratios within one run (`make bench`).

Core, adapter and a bare aiohttp echo run as processes on 127.0.0.1 with a new SQLite database; then
core and adapter on a PostgreSQL server from pip, in turns with pgbench and a plain ORM service on
the same server. Numbers of other runs or machines are not comparable. BENCH_SECONDS (default 180)
is the measuring time. The run, with starts and stops, is cancelled after twice that time plus two
minutes.
"""

import os

# gRPC logs every fork beside an open channel. It reads this once.
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
    help="Also write every number to FILE.",
)
@click.option("--small", is_flag=True, help="A minimal run that tests the benchmark itself.")
def main(json_file: Path | None, *, small: bool) -> None:
    """Measure for BENCH_SECONDS (default 180) and print the ratios."""
    try:
        plan = Plan.small() if small else Plan.of(read_seconds(os.environ.get("BENCH_SECONDS", "")))
    except ValueError as error:
        raise click.ClickException(str(error)) from None
    try:
        report = uvloop.run(_measured(plan))
    except (UnexpectedAnswer, CoreError) as error:
        raise click.ClickException(f"A request failed: {error}") from None
    except TimeoutError:
        raise click.ClickException(f"Not finished after {plan.limit_seconds:.0f} s.") from None
    except asyncio.CancelledError:
        raise click.Abort from None
    click.echo(render(report))
    if json_file is not None:
        json_file.write_text(json.dumps(report.as_json(), indent=2) + "\n")
    if not report.balances:
        sys.exit(1)


async def _measured(plan: Plan) -> Report:
    """Measure within the plan's limit; SIGTERM cancels like Ctrl-C."""
    task = asyncio.current_task()
    assert task is not None, "a coroutine runs in a task"
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    async with asyncio.timeout(plan.limit_seconds):
        return await measure(plan)


if __name__ == "__main__":
    main()
