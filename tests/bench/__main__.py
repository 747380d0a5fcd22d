"""The benchmark, `make bench`: the speed of the API as ratios within one run, beside its goals.

All processes run on this machine, on new databases: SQLite files, and a PostgreSQL server from pip.
Figures of other runs or machines are not comparable. docs/performance.md says how to read them.
"""

import os

# gRPC logs every fork beside an open channel. It reads this once.
os.environ["GRPC_ENABLE_FORK_SUPPORT"] = "0"

import asyncio
import signal
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from pathlib import Path

import click
import uvloop

from rpc.errors import CoreError
from tests.bench import (
    card_charges,
    debits,
    gateway,
    hop,
    in_process,
    lists,
    neighbours,
    one_client,
    orm,
    recurring,
    sqlite,
    startup,
    steady,
    workers,
)
from tests.bench.figures import Result, markdown
from tests.bench.http_connection import UnexpectedAnswer
from tests.bench.run import Run
from tests.bench.size import Size

PARTS: Mapping[str, Callable[[Run], Awaitable[Result]]] = {
    "debits": debits.measure,
    "orm": orm.measure,
    "one": one_client.measure,
    "sqlite": sqlite.measure,
    "steady": steady.measure,
    "workers": workers.measure,
    "hop": hop.measure,
    "charges": card_charges.measure,
    "lists": lists.measure,
    "startup": startup.measure,
    "gateway": gateway.measure,
    "recurring": recurring.measure,
    "functions": in_process.measure,
    "neighbours": neighbours.measure,
}
_DEFAULTS = Size()
_SYNCS = 100


@click.command(
    epilog="Parts: " + ", ".join(PARTS) + ". All by default; each runs alone. `--rounds 10` halves "
    "the noise and doubles the time."
)
@click.argument("parts", nargs=-1, metavar="[PART]...", type=click.Choice([*PARTS]))
@click.option(
    "--rounds",
    type=click.IntRange(2, 100),
    default=_DEFAULTS.rounds,
    show_default=True,
    help="How often the variants of a part alternate.",
)
@click.option(
    "--markdown",
    "markdown_file",
    metavar="FILE",
    type=click.Path(path_type=Path, dir_okay=False, writable=True),
    help="Also write the table to FILE.",
)
@click.option("--small", is_flag=True, help="A minimal run that tests the benchmark itself.")
def main(parts: Sequence[str], rounds: int, markdown_file: Path | None, *, small: bool) -> None:
    """Measure the speed of the API, as ratios within one run beside their goals.

    Takes about ten minutes on two processors. Exits with 1 if a request failed or books do not
    balance; a goal that is missed is only shown.
    """
    size = Size.small() if small else Size().with_rounds(rounds)
    try:
        text, balances = uvloop.run(_measured(list(dict.fromkeys(parts or PARTS)), size))
    except (UnexpectedAnswer, CoreError) as error:
        raise click.ClickException(f"A request failed: {error}") from None
    except TimeoutError:
        raise click.ClickException(f"Not finished after {size.limit_seconds:.0f} s.") from None
    except asyncio.CancelledError:
        raise click.Abort from None
    click.echo(text)
    if markdown_file is not None:
        markdown_file.write_text(text)
    if not balances:
        sys.exit(1)


async def _measured(parts: Sequence[str], size: Size) -> tuple[str, bool]:
    """Measure within the limit and return the table; SIGTERM cancels like Ctrl-C."""
    task = asyncio.current_task()
    assert task is not None, "a coroutine runs in a task"
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    head, begun = _machine(), time.perf_counter()
    results: dict[str, Result] = {}
    async with asyncio.timeout(size.limit_seconds), AsyncExitStack() as opened:
        run = Run(size, opened)
        for part in parts:
            results[part] = await _measure_part(part, run)
    lines = [f"{head}; took {time.perf_counter() - begun:.0f} s.", "", *markdown(results)]
    books = [books for result in results.values() for books in result.books.values()]
    return "\n".join(lines) + "\n", all(each.balance for each in books)


async def _measure_part(part: str, run: Run) -> Result:
    begun = time.perf_counter()
    click.echo(f"{part} …", err=True)
    result = await PARTS[part](run)
    for figure in result.figures:
        what, goal, measured, met = figure.cells()
        click.echo(f"  {measured:>18}  {goal:>10} {met.strip('*'):>4}  {what}", err=True)
    for name, books in result.books.items():
        click.echo(f"  books, {name}: {books.verdict}", err=True)
    click.echo(f"{part} took {time.perf_counter() - begun:.0f} s", err=True)
    return result


def _machine() -> str:
    load = os.getloadavg()[0]
    return (
        f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC, Python {sys.version.split()[0]}, "
        f"{os.cpu_count()} processors, load {load:.1f} before, "
        f"fdatasync {_sync_microseconds():.0f} µs"
    )


def _sync_microseconds() -> float:
    """Return the median time of a write that reaches the disk, which each commit waits for."""
    taken = []
    with tempfile.NamedTemporaryFile(buffering=0) as file:
        for _ in range(_SYNCS):
            file.write(bytes(4096))
            started = time.perf_counter()
            os.fdatasync(file.fileno())
            taken.append(time.perf_counter() - started)
    return statistics.median(taken) * 1e6


if __name__ == "__main__":
    main()
