"""The command `clock`: advances the test clock of a business through the running core."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import cast

import click
from google.protobuf.timestamp_pb2 import Timestamp

from cli.core_access import core_client, core_option, service_token, why_refused
from cli.data_dir import DEFAULT_DATA_DIR, DataDir
from cli.failures import Failure
from cli.groups import Group
from nivisco.internal.v1 import test_clock_pb2 as pb
from rpc.errors import CoreError
from rpc.metadata import Credentials

_ADVANCE = pb.DESCRIPTOR.services_by_name["TestClockService"].methods_by_name["AdvanceTestClock"]
_TIMEOUT_SECONDS = 60.0
_PAUSE_SECONDS = 1.0
_WAITS_AT_MOST = 120
"""How often in a row one job may be waited for."""


@click.group(cls=Group)
def clock() -> None:
    """Change the time that a business's TEST jobs see."""


@clock.command()
@click.option("--business", metavar="ID", required=True, help="Whose TEST jobs see the time.")
@click.option(
    "--to",
    metavar="TIME",
    required=True,
    help="The new time: ISO 8601, UTC without an offset, for example 2027-01-31T08:00.",
)
@core_option
@click.option(
    "--data-dir",
    type=click.Path(path_type=Path, file_okay=False),
    help="The data directory of `nivisco up`, whose secrets.json has the operator's token. "
    f"Default: {DEFAULT_DATA_DIR}, unless NIVISCO_SERVICE_TOKEN is set.",
)
def advance(business: str, to: str, target: str, data_dir: Path | None) -> None:
    """Advance the clock, and execute in order the occurrences that fall due before the new time.

    The core must have been started with NIVISCO_TEST_CLOCK=1, or by `nivisco up --test-clock`. The
    clock only goes forward, and LIVE jobs never see it. If interrupted, it keeps the time reached.
    """
    moment = _moment(to)
    token = service_token("operator", None if data_dir is None else DataDir(data_dir))
    try:
        executed, now = asyncio.run(_advance(target, token, business, moment, click.echo))
    except CoreError as error:
        raise Failure(_why(error, target)) from None
    click.echo(f"It is {now} for the TEST jobs of {business}; {_charges(executed)}.")


def _moment(text: str) -> Timestamp:
    try:
        read = datetime.fromisoformat(text)
    except ValueError:
        raise click.BadParameter(
            f"{text!r} is not an ISO 8601 time such as 2027-01-31T08:00", param_hint="--to"
        ) from None
    moment = Timestamp()
    moment.FromDatetime(read if read.tzinfo else read.replace(tzinfo=UTC))
    return moment


async def _advance(
    target: str, token: str, business: str, to: Timestamp, say: Callable[[str], None]
) -> tuple[int, str]:
    """Advance until done; return the number of charge attempts and the time reached.

    Raises:
        CoreError: the core refused or did not respond.
        Failure: the charge of a job gets no outcome.
    """
    client = core_client(target)
    executed = waits = 0
    try:
        while True:
            response = cast(
                pb.AdvanceTestClockResponse,
                await client.call(
                    _ADVANCE,
                    pb.AdvanceTestClockRequest(business_id=business, advance_to=to),
                    Credentials(service_token=token),
                    timeout_seconds=_TIMEOUT_SECONDS,
                ),
            )
            executed += response.attempt_count
            now = f"{response.current_time.ToDatetime():%Y-%m-%d %H:%M:%S} UTC"
            if response.done:
                return executed, now
            waiting_for = response.waiting_for_recurring_id
            if not waiting_for:
                waits = 0
                say(f"{now}: {_charges(executed)} so far")
                continue
            waits += 1
            if waits == 1:
                say(f"{now}: waiting for the outcome of the charge of {waiting_for}")
            if waits > _WAITS_AT_MOST:
                raise Failure(
                    f"The charge of {waiting_for} still has no outcome, so the clock stays at "
                    f"{now}. Look for the gateway's errors in the core's log, then run this again."
                )
            await asyncio.sleep(_PAUSE_SECONDS)
    finally:
        await client.close()


def _charges(count: int) -> str:
    return "1 attempt to charge" if count == 1 else f"{count} attempts to charge"


def _why(error: CoreError, target: str) -> str:
    if error.reason == "INVALID_FIELDS":
        problems = "; ".join(f"{each.field} {each.description}" for each in error.fields)
        return f"The core refused: {problems or error.message}."
    return why_refused(error, target)
