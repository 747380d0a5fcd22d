"""Advances the test clock of a business through the running core; knows no rule of billing."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import cast

import click
from google.protobuf.timestamp_pb2 import Timestamp

from cli.data_dir import DEFAULT_DATA_DIR, DataDir
from cli.failures import Failure
from cli.operator_service import core_client, core_option, service_token, why_refused
from nivisco.internal.v1 import test_clock_pb2 as pb
from rpc.errors import CoreError
from rpc.metadata import Credentials

_ADVANCE = pb.DESCRIPTOR.services_by_name["TestClockService"].methods_by_name["AdvanceTestClock"]
_TIMEOUT_SECONDS = 60.0
_PAUSE_SECONDS = 1.0
_WAITS_AT_MOST = 120
"""So many times in a row one job may be waited for."""


@click.group()
def clock() -> None:
    """Let time pass for a business's TEST jobs."""


@clock.command()
@click.option("--business", metavar="ID", required=True, help="Whose TEST jobs see the time.")
@click.option(
    "--to",
    metavar="TIME",
    required=True,
    help="What time it is to be: ISO 8601, UTC where it names no offset, such as 2027-01-31T08:00.",
)
@core_option
@click.option(
    "--data-dir",
    type=click.Path(path_type=Path, file_okay=False),
    help="The data directory of `nivisco up`, whose secrets.json has the operator's token. "
    f"Default: {DEFAULT_DATA_DIR}, unless NIVISCO_SERVICE_TOKEN is set.",
)
def advance(business: str, to: str, target: str, data_dir: Path | None) -> None:
    """Advance the clock, and execute in order what falls due on the way; returns when it is done.

    The core must have been started with NIVISCO_TEST_CLOCK=1, or by `nivisco up --test-clock`. The
    clock only goes forward, and LIVE jobs never see it. Interrupted, it stands where it got to.
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
            f"{text!r} is no ISO 8601 time such as 2027-01-31T08:00", param_hint="--to"
        ) from None
    moment = Timestamp()
    moment.FromDatetime(read if read.tzinfo else read.replace(tzinfo=UTC))
    return moment


async def _advance(
    target: str, token: str, business: str, to: Timestamp, say: Callable[[str], None]
) -> tuple[int, str]:
    """Ask until it is done; return how many attempts were made, and the time reached.

    Raises:
        CoreError: the core refused, or could not be reached.
        Failure: a job is waited for that gets no outcome.
    """
    client = core_client(target)
    executed = waits = 0
    try:
        while True:
            answer = cast(
                pb.AdvanceTestClockResponse,
                await client.call(
                    _ADVANCE,
                    pb.AdvanceTestClockRequest(business_id=business, advance_to=to),
                    Credentials(service_token=token),
                    timeout_seconds=_TIMEOUT_SECONDS,
                ),
            )
            executed += answer.attempt_count
            now = f"{answer.current_time.ToDatetime():%Y-%m-%d %H:%M:%S} UTC"
            if answer.done:
                return executed, now
            if not answer.waiting_for_recurring_id:
                waits = 0
                say(f"{now}: {_charges(executed)} so far")
                continue
            waits += 1
            if waits == 1:
                say(
                    f"{now}: waiting for {answer.waiting_for_recurring_id}, whose charge has no outcome yet"
                )
            if waits > _WAITS_AT_MOST:
                raise Failure(
                    f"The charge of {answer.waiting_for_recurring_id} still has no outcome, so the clock stands "
                    f"at {now}. Look for the gateway's errors in the core's log, then ask again."
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
