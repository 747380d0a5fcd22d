"""The command `up`: prepares the data directory and runs all processes on this machine."""

import asyncio
import logging
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path

import click

from cli import logs
from cli.addresses import Address, check_free, read_address
from cli.children import Spawn, nivisco
from cli.data_dir import DEFAULT_DATA_DIR, DataDir, Endpoints, Secrets, Served
from cli.failures import Failure, SettingsError
from cli.first_screen import first_screen, say
from cli.log_file import LOG_FILE, LogFile, Rotation
from cli.profiler import PROFILE_DIRECTORY
from cli.supervisor import Interrupted, Supervisor
from cli.worker_plans import (
    LAME_DUCK,
    METRICS,
    check_workers,
    lame_duck_seconds,
    worker_addresses,
    workers_option,
)

_MAX_PORT = 65_535
_DRAIN_SECONDS = 30.0
_SANDBOX_DRAIN_SECONDS = 5.0
_SECRET_VARIABLES = (
    "NIVISCO_DATABASE_URL",
    "NIVISCO_SECRET_KEYS",
    "NIVISCO_KMS",
    "NIVISCO_VAULT_TOKEN",
    "NIVISCO_SERVICE_TOKENS",
    "NIVISCO_SERVICE_TOKEN",
    "NIVISCO_WEBHOOKS_TOKEN",
    "NIVISCO_BUSINESS_ID",
    "NIVISCO_API_KEY",
)
"""Variables that children do not inherit; core and adapter get their own."""

_logger = logging.getLogger("nivisco")


@dataclass(frozen=True, slots=True)
class Plan:
    """What to start, and where."""

    data_dir: DataDir
    http: Address
    grpc: Address
    sandbox: Address | None
    database_url: str = field(repr=False)
    log_to_terminal: bool
    start_timeout_seconds: float
    workers: int
    """Number of processes of core and of JSON endpoint, each."""
    test_clock: bool
    """Whether `nivisco clock advance` may advance time for TEST jobs."""
    metrics: Address
    """Where the first core serves its metrics, the others on the ports above; 0: any free ports."""


@click.command()
@click.option(
    "--data-dir",
    type=click.Path(path_type=Path, file_okay=False),
    default=DEFAULT_DATA_DIR,
    show_default=True,
    help="Where database, keys and logs are kept.",
)
@click.option(
    "--http",
    metavar="HOST:PORT",
    callback=read_address,
    envvar="NIVISCO_HTTP",
    default="127.0.0.1:8080",
    show_default=True,
    help="Where the JSON endpoint listens; also NIVISCO_HTTP.",
)
@click.option(
    "--grpc",
    metavar="HOST:PORT",
    callback=read_address,
    envvar="NIVISCO_GRPC",
    default="127.0.0.1:50051",
    show_default=True,
    help="Where the gRPC server listens; also NIVISCO_GRPC.",
)
@click.option(
    "--sandbox",
    metavar="HOST:PORT",
    callback=read_address,
    default="127.0.0.1:8090",
    show_default=True,
    help="Where the sandbox listens.",
)
@click.option(
    "--no-sandbox",
    is_flag=True,
    help="Send TEST traffic to the gateways' own test systems instead.",
)
@click.option(
    "--database-url",
    envvar="NIVISCO_DATABASE_URL",
    help="Another database than nivisco.db in the data directory; also NIVISCO_DATABASE_URL, which "
    "other users of this machine cannot read.",
)
@click.option(
    "--metrics",
    metavar="HOST:PORT",
    callback=read_address,
    envvar=METRICS,
    default="127.0.0.1:0",
    show_default=True,
    help="Where to serve /healthz, /readyz and /metrics: consecutive ports for each core, JSON "
    "endpoint and the scheduler, in this order. 0: any free ports, which are in the logs. Also "
    "NIVISCO_METRICS.",
)
@workers_option
@click.option(
    "--test-clock",
    is_flag=True,
    help="Let `nivisco clock advance` advance time for TEST jobs. Never with real money.",
)
@click.option("--log-to-terminal", is_flag=True, help="Write log lines to stderr, not to files.")
@click.option(
    "--start-timeout",
    metavar="SECONDS",
    type=click.FloatRange(min=1.0),
    default=60.0,
    show_default=True,
    help="How long each process may take to start.",
)
def up(
    data_dir: Path,
    http: Address,
    grpc: Address,
    sandbox: Address,
    database_url: str | None,
    metrics: Address,
    start_timeout: float,
    workers: int,
    *,
    no_sandbox: bool,
    test_clock: bool,
    log_to_terminal: bool,
) -> None:
    """Start everything on this machine: sandbox, core, JSON endpoint and scheduler.

    The first start creates a database, the keys and an admin business in the data directory.
    Ctrl-C stops everything gracefully; a second Ctrl-C stops at once. With --workers above 1, which
    needs PostgreSQL, core and JSON endpoint run in so many processes each; the one scheduler
    balances its calls over all cores.
    """
    directory = DataDir(data_dir)
    plan = Plan(
        data_dir=directory,
        http=http,
        grpc=grpc,
        sandbox=None if no_sandbox else sandbox,
        database_url=database_url or _embedded_database(directory),
        log_to_terminal=log_to_terminal,
        start_timeout_seconds=start_timeout,
        workers=workers,
        test_clock=test_clock,
        metrics=metrics,
    )
    _check_settings(plan, os.environ)
    os.umask(0o077)  # so that the database is mode 600
    directory.make()
    lock = directory.lock()
    try:
        processes_lock = directory.lock_processes()
        cores = [("--grpc", Address.parse(each)) for each in worker_addresses(str(grpc), workers)]
        serving = [("--metrics", _metrics(plan, number)) for number in range(2 * workers + 1)]
        wanted = [("--http", http), *cores, ("--sandbox", plan.sandbox), *serving]
        check_free([(option, address) for option, address in wanted if address])
        secrets = directory.read_or_create_secrets(_sqlite_file(plan.database_url))
        _log_to(plan)
        clean = asyncio.run(_start_and_watch(plan, secrets, processes_lock))
    finally:
        os.close(lock)
    if not clean:
        raise click.exceptions.Exit(1)


def _embedded_database(directory: DataDir) -> str:
    if re.search(r"[?#%]", str(directory.database)):
        raise SettingsError(f"--data-dir {directory.path}: choose a path without ?, # and %.")
    return f"sqlite+aiosqlite:///{directory.database}"


def _sqlite_file(database_url: str) -> Path | None:
    match = re.fullmatch(r"sqlite(?:\+\w+)?:///([^?]+)(?:\?.*)?", database_url)
    return Path(match[1]) if match else None


def _check_settings(plan: Plan, environ: Mapping[str, str]) -> None:
    """Check the plan, and refuse variables that would be ignored.

    Raises:
        SettingsError: one cannot work; the message says what to change.
    """
    check_workers(plan.workers, plan.database_url)
    try:
        logs.level_of(environ)
        lame_duck_seconds(environ)
        Rotation.from_environment(environ)
    except ValueError as error:
        raise SettingsError(f"{error}.") from None
    for variable in ("NIVISCO_SECRET_KEYS", "NIVISCO_SERVICE_TOKENS"):
        if environ.get(variable):
            raise SettingsError(
                f"Unset {variable}: `nivisco up` keeps its own in {plan.data_dir.secrets}."
            )
    if environ.get(LOG_FILE):
        raise SettingsError(f"Unset {LOG_FILE}: `nivisco up` logs into {plan.data_dir.logs}.")
    for variable in ("NIVISCO_STRIPE_TEST_URL", "NIVISCO_AUTHORIZE_TEST_URL"):
        if plan.sandbox and environ.get(variable):
            raise SettingsError(
                f"{variable} is set, but TEST traffic goes to the sandbox. "
                "Unset it, or add --no-sandbox."
            )


def _log_to(plan: Plan) -> None:
    if plan.log_to_terminal:
        logs.configure("up")
        return
    rotation = Rotation.from_environment(os.environ)
    logs.configure("up", LogFile(plan.data_dir.logs / "up.log", rotation))


async def _start_and_watch(plan: Plan, secrets: Secrets, processes_lock: int) -> bool:
    """Start all processes, wait for a signal or a failure, and stop them all.

    Returns whether none had to be killed.

    Raises:
        Failure: a process did not start, or ended; all are stopped by then.
    """
    supervisor = Supervisor([processes_lock], plan.start_timeout_seconds)
    supervisor.handle_signals()
    try:
        await _start(plan, secrets, supervisor)
        await supervisor.watch()
    except Interrupted:
        say("\nStopping. Ctrl-C again to stop at once.")
    except Failure as failure:
        _logger.critical("process failed, stopping all", extra={"reason": failure.message})
        say("Stopping all processes.")
        raise
    finally:
        clean = await supervisor.stop_all()
    say("stopped")
    return clean


async def _start(plan: Plan, secrets: Secrets, supervisor: Supervisor) -> None:
    from cli.admin import ensure_admin
    from rpc.errors import CoreError

    not_inherited = (*_SECRET_VARIABLES, METRICS)
    base = {name: v for name, v in os.environ.items() if name not in not_inherited}
    base = {PROFILE_DIRECTORY: str(plan.data_dir.profiles)} | base
    sandbox = None
    if plan.sandbox is not None:
        [sandbox] = await supervisor.start(_sandbox(plan, plan.sandbox, base))
    serving = await supervisor.start(_core(plan, secrets, sandbox, base))
    cores = ",".join(str(each.reachable()) for each in serving)
    token = secrets.service_tokens["operator"]
    try:
        created = await supervisor.unless_interrupted(
            ensure_admin(cores, plan.data_dir, token), "the admin business"
        )
    except CoreError as error:
        raise Failure(f"The core refused to create the admin business: {error.message}") from None
    if created:
        say(f"  made    the admin business's key, in {plan.data_dir.admin}")
    [adapter] = await supervisor.start(_adapter(plan, secrets, cores, base))
    await supervisor.start(_scheduler(plan, secrets, cores, base))
    sandbox_url = None if sandbox is None else sandbox.url()
    processes = (Served("up", os.getpid()), *supervisor.served)
    endpoints = Endpoints(f"{adapter.url()}/", sandbox_url, version("nivisco"), processes)
    plan.data_dir.write_endpoints(endpoints)
    say(first_screen(plan.data_dir, adapter, cores, plan.metrics, sandbox))


def _log(plan: Plan, process: str) -> Path | None:
    return None if plan.log_to_terminal else plan.data_dir.logs / f"{process}.log"


def _sandbox(plan: Plan, address: Address, base: dict[str, str]) -> Spawn:
    command = nivisco("sandbox", "--http", str(address), "--data-dir", str(plan.data_dir.path))
    return Spawn("sandbox", command, base, _log(plan, "sandbox"), _SANDBOX_DRAIN_SECONDS)


def _core(plan: Plan, secrets: Secrets, sandbox: Address | None, base: dict[str, str]) -> Spawn:
    environment = base | {
        "NIVISCO_DATABASE_URL": plan.database_url,
        "NIVISCO_GRPC": str(plan.grpc),
        "NIVISCO_SECRET_KEYS": secrets.keyring(),
        "NIVISCO_SERVICE_TOKENS": secrets.tokens(),
        "NIVISCO_MIGRATE": "1",
        METRICS: str(_metrics(plan, 0)),
        **({"NIVISCO_TEST_CLOCK": "1"} if plan.test_clock else {}),
    }
    if sandbox is not None:
        environment["NIVISCO_STRIPE_TEST_URL"] = sandbox.url()
        environment["NIVISCO_AUTHORIZE_TEST_URL"] = sandbox.url()
    return _with_workers(plan, "core", environment)


def _adapter(plan: Plan, secrets: Secrets, cores: str, base: dict[str, str]) -> Spawn:
    environment = base | {
        "NIVISCO_HTTP": str(plan.http),
        "NIVISCO_CORE": cores,
        "NIVISCO_WEBHOOKS_TOKEN": secrets.service_tokens["webhooks"],
        METRICS: str(_metrics(plan, plan.workers)),
    }
    return _with_workers(plan, "adapter", environment)


def _scheduler(plan: Plan, secrets: Secrets, cores: str, base: dict[str, str]) -> Spawn:
    environment = (
        {"NIVISCO_SCHEDULER_HTTP": "127.0.0.1:0"}
        | base
        | {
            "NIVISCO_CORE": cores,
            "NIVISCO_SERVICE_TOKEN": secrets.service_tokens["scheduler"],
            **({METRICS: str(_metrics(plan, 2 * plan.workers))} if plan.metrics.port else {}),
        }
    )
    log = _log(plan, "scheduler")
    return Spawn("scheduler", nivisco("scheduler"), environment, log, _DRAIN_SECONDS)


def _metrics(plan: Plan, number: int) -> Address:
    """Return where a process serves its metrics: cores come first, the scheduler last.

    Raises:
        SettingsError: there are not enough ports.
    """
    port = plan.metrics.port and plan.metrics.port + number
    if port > _MAX_PORT:
        raise SettingsError(f"--metrics {plan.metrics} leaves no {number + 1} ports.")
    return Address(plan.metrics.host, port)


def _with_workers(plan: Plan, process: str, environment: dict[str, str]) -> Spawn:
    several = plan.workers > 1
    if not several:  # no other process takes over
        environment = {LAME_DUCK: "0"} | environment
    return Spawn(
        process,
        nivisco(process, *(("--workers", str(plan.workers)) if several else ())),
        environment,
        _log(plan, process),
        _DRAIN_SECONDS + 2 * lame_duck_seconds(environment),
        has_workers=several,
    )
