"""Retries of failed cycles: a job whose first cycle was not paid, and the client that retries it.

The job itself retries the cycle RETRY_DAYS later, so the client's retry is the only one until then.
"""

import asyncio
from contextlib import suppress

from nivisco.payments.v1 import recurring_pb2
from rpc.errors import CoreError
from tests.prove.clients import Clients
from tests.prove.environment import Environment
from tests.prove.operations import Operation

LOOK_SECONDS = 0.03


async def retry_a_cycle(environment: Environment, clients: Clients, kind: str) -> None:
    """Run a retry of this kind, of a job that it creates first."""
    is_card = kind == "retry_card"
    user_id = await clients.create_user("pm_card_chargeCustomerFail" if is_card else None)
    job = await clients.complete("job_unpaid" if is_card else "job_unpaid_wallet", user_id=user_id)
    await _until_tried(environment, job)
    if is_card:
        saved = clients.new("save_card", user_id=user_id, is_keyed=True)
        saved.request.set_as_primary = True
        await clients.run(saved)
    else:
        await clients.run(clients.new("credit", user_id=user_id, is_keyed=True))
    await clients.run(clients.new_retry(kind, job))


async def _until_tried(environment: Environment, job: Operation) -> None:
    """Wait until the job's first cycle was tried, by whichever core serves."""
    request = recurring_pb2.GetRecurringLogsRequest(recurring_id=job.response().recurring_id)
    while True:
        with suppress(CoreError):
            if (await environment.call(job.caller.credentials, request)).logs:
                return
        await asyncio.sleep(LOOK_SECONDS)
