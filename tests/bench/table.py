"""Renders a report as text tables."""

from collections.abc import Iterator, Sequence

from tests.bench.books import Books
from tests.bench.charges import Charges
from tests.bench.in_process import ACTIONS, InProcess
from tests.bench.postgresql.debits import Debits
from tests.bench.report import Report
from tests.bench.round_trips import RoundTrips
from tests.bench.samples import Spread
from tests.bench.stack import CLIENT

_WIDTH = 42
_PROCESSES = (CLIENT, "adapter", "core", "echo")
_DEBIT_PROCESSES = (CLIENT, "adapter", "core", "service", "pgbench", "postgres")


def render(report: Report) -> str:
    """Return the report as text."""
    machine = report.machine
    lines = [
        f"{report.seconds:.0f} s on {machine.processors} processors, load before "
        f"{machine.load:.1f}, fsync {machine.fsync_microseconds:.0f} µs. "
        "Compare ratios of one run only.",
        "± is half the distance between the quartiles of the rounds.",
        "",
        *_round_trips(report.round_trips),
        "",
        *_charges(report.charges),
        "",
        *_debits(report.debits),
        "",
        *_in_process(report.in_process),
        "",
        *_noise(report),
        "",
        *_books("SQLite", report.books),
        *(line for name, books in report.debits.books.items() for line in _books(name, books)),
    ]
    return "\n".join(lines)


def _round_trips(found: RoundTrips) -> Iterator[str]:
    heads = "".join(f"{process:>9}" for process in _PROCESSES)
    yield f"{'get_user_wallet, one client':<28}{'median µs':>14}{'p99':>8}  CPU µs:{heads}"
    for name, way in found.ways.items():
        cpu = "".join(f"{_cpu(way.cpu, process):>9}" for process in _PROCESSES)
        yield f"  {name:<26}{_micro(way.median):>14}{way.percentile_99:>8.0f}{'':>9}{cpu}"
    yield _ratio("JSON / echo", found.json_to_echo)
    yield _ratio("JSON / gRPC", found.json_to_grpc)
    yield _ratio("gRPC / echo", found.grpc_to_echo)
    yield f"  {'adapter, JSON minus gRPC':<{_WIDTH}}{_micro(found.adapter_microseconds):>12} µs"
    yield f"  {'adapter, CPU time':<{_WIDTH}}{_micro(found.adapter_cpu_microseconds):>12} µs"
    yield _ratio("adapter CPU / echo CPU", found.adapter_cpu_to_echo)


def _charges(rows: Sequence[Charges]) -> Iterator[str]:
    yield (
        f"{'charge_wallet a second':<28}{'JSON':>12}{'gRPC':>12}{'JSON / gRPC':>13}"
        f"{'to 1 client':>13}{'keyed, time':>13}{'p99 ms':>8}  CPU µs: adapter    core"
    )
    for row in rows:
        json, grpc = row.ways["JSON"], row.ways["gRPC"]
        wallets = _wallets(row.wallets)
        clients = f"{row.clients} client{'s' if row.clients > 1 else ''}"
        yield (
            f"  {clients + ', ' + wallets:<26}{_micro(json.per_second):>12}"
            f"{_micro(grpc.per_second):>12}{_times(row.json_to_grpc):>13}"
            f"{_times(row.to_one_client):>13}{_times(row.keyed_to_unkeyed):>13}{json.percentile_99_milliseconds:>8.0f}"
            f"{json.cpu['adapter'].median:>17.0f}{json.cpu['core'].median:>8.0f}"
        )


def _debits(found: Debits) -> Iterator[str]:
    settings = ", ".join(f"{name} {value}" for name, value in found.settings.items())
    yield f"one debit in four variants on one PostgreSQL, {found.clients} concurrent clients"
    yield f"  {settings}"
    heads = "".join(f"{process:>9}" for process in _DEBIT_PROCESSES)
    yield f"  {'debits a second':<26}{'':>14}{'p50 ms':>8}{'p99 ms':>8}  CPU µs:{heads}"
    for row in found.rows:
        for name, way in row.ways.items():
            cpu = "".join(f"{_cpu(way.cpu, process):>9}" for process in _DEBIT_PROCESSES)
            yield (
                f"  {f'{_wallets(row.wallets)}, {name}':<26}{_micro(way.per_second):>14}"
                f"{way.median_milliseconds.median:>8.1f}{way.percentile_99_milliseconds:>8.0f}"
                f"{'':>9}{cpu}"
            )
    yield f"  {'ratios':<26}{'a second':>14}{'CPU of all but the client':>28}"
    for row in found.rows:
        for name, ratios in row.compared.items():
            yield (
                f"  {f'{_wallets(row.wallets)}, {name}':<30}{_ratio_of(ratios.per_second):>16}"
                f"{_ratio_of(ratios.cpu):>16}"
            )


def _in_process(found: InProcess) -> Iterator[str]:
    yield "one call in one process"
    for name, spread in found.microseconds.items():
        yield f"  {name:<{_WIDTH}}{spread.median:>8.2f} µs ±{spread.percent:.0f} %"
    for action in ACTIONS:
        yield _ratio(f"{action}: transcode / json_format", found.transcode_to_json_format[action])
        yield _ratio(f"{action}: rules / protovalidate", found.problems_to_protovalidate[action])
    yield f"  {'descriptor calls in a transcode':<{_WIDTH}}{len(found.schema_calls):>8}"
    yield from (f"    {call}" for call in found.schema_calls)


def _noise(report: Report) -> Iterator[str]:
    echo = report.round_trips.ways["echo"].median
    many = [row.ways for row in report.charges] + [row.ways for row in report.debits.rows]
    worst = max(way.per_second.percent for ways in many for way in ways.values())
    yield (
        f"noise: the echo's rounds differ by ±{echo.percent:.0f} %, its slowest took "
        f"{echo.most / echo.least:.1f}x its fastest; charges differ by up to ±{worst:.0f} %"
    )


def _books(name: str, books: Books) -> Iterator[str]:
    verdict = "balance exactly" if books.balance else "DO NOT BALANCE"
    yield (
        f"books, {name}: {books.charges} charges of {books.wallets} wallets, "
        f"{books.history_rows} history rows, {books.cents_left} cents left: they {verdict}"
    )
    yield from (f"  {difference}" for difference in books.differences)


def _ratio(name: str, spread: Spread) -> str:
    return f"  {name:<{_WIDTH}}{_times(spread):>8}  ±{spread.percent:.0f} %"


def _ratio_of(spread: Spread) -> str:
    return f"{_times(spread)} ±{spread.percent:.0f} %"


def _wallets(count: int) -> str:
    return "1 hot wallet" if count == 1 else f"{count} wallets"


def _times(spread: Spread) -> str:
    text = f"{spread.median:.3f}" if spread.median < 0.1 else f"{spread.median:.2f}"
    return f"{text}x"


def _micro(spread: Spread) -> str:
    return f"{spread.median:.0f} ±{spread.percent:.0f} %"


def _cpu(cpu: dict[str, Spread], process: str) -> str:
    microseconds = cpu[process].median
    return f"{microseconds:.0f}" if microseconds >= 1 else "-"
