"""The one place where the core is put together, started and stopped."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Collection
from contextlib import suppress
from datetime import timedelta

import grpc.aio
from grpc_health.v1 import health, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from core.authentication.pipeline import AuthenticationInterceptor
from core.authentication.service import AuthenticationService
from core.authentication.servicer import AuthenticationServicer
from core.business.service import BusinessService
from core.business.servicer import BusinessServicer
from core.cards.service import CardsService
from core.cards.servicer import CardsServicer
from core.credentials.service import CredentialsService, check_keyring
from core.credentials.servicer import CredentialsServicer
from core.database.clock import Clock
from core.database.engines import check_file
from core.database.migrations import upgrade
from core.database.transactions import CommitUnknownError, Database, DatabaseUnavailableError
from core.doctor.rules import DEFAULT_LIMIT
from core.doctor.service import DoctorService
from core.doctor.servicer import OperatorServicer, examine_response
from core.gateways.authorize.gateway import AuthorizeGateway
from core.gateways.gateway import Gateway
from core.gateways.stripe.gateway import StripeGateway
from core.idempotency.pipeline import IdempotencyInterceptor
from core.idempotency.service import REAP_SECONDS, Idempotency
from core.keys.servicer import KeysServicer
from core.payments.attempts import RENEW_SECONDS
from core.payments.service import PaymentsService
from core.payments.servicer import PaymentsServicer
from core.payments.sweep import SWEEP_SECONDS
from core.recurring.claims import Claims
from core.recurring.execution import Execution
from core.recurring.internal_servicers import OccurrencesServicer, TestClockServicer
from core.recurring.job_clock import JobClock
from core.recurring.service import RecurringService
from core.recurring.servicer import RecurringServicer
from core.recurring.test_clock import TestClockAdvance
from core.server import validation
from core.server.health import HealthServicer
from core.server.listening import Listener
from core.server.pipeline import (
    ErrorInterceptor,
    RequestIdInterceptor,
    ValidationInterceptor,
)
from core.server.settings import CoreSettings
from core.users.service import UsersService
from core.users.servicer import UsersServicer
from core.wallet.batch import WalletBatch
from core.wallet.service import WalletService
from core.wallet.servicer import WalletServicer
from core.webhooks.service import CHORE_SECONDS, WebhooksService
from core.webhooks.servicer import WebhooksServicer
from nivisco.internal.v1 import (
    occurrences_pb2_grpc,
    operator_pb2,
    operator_pb2_grpc,
    test_clock_pb2_grpc,
    webhooks_pb2_grpc,
)
from nivisco.payments.v1 import (
    authentication_pb2_grpc,
    business_pb2_grpc,
    cards_pb2_grpc,
    credentials_pb2_grpc,
    keys_pb2_grpc,
    payments_pb2_grpc,
    recurring_pb2_grpc,
    users_pb2_grpc,
    wallet_pb2_grpc,
)
from rpc.catalogue import service_methods
from rpc.schema_check import check_schema

logger = logging.getLogger("core")

MAX_MESSAGE_BYTES = 256 * 1024


async def migrate(settings: CoreSettings) -> str:
    """Bring the database to this version's schema and return the revision reached.

    Raises:
        DatabaseUnavailableError: the database does not answer, or has a newer schema.
        ValueError: the database's URL is none.
    """
    database = Database(settings.database_url)
    try:
        return await upgrade.migrate(database)
    finally:
        await database.close()


async def examine(
    database_url: str, *, key_ids: Collection[str] | None, limit: int = DEFAULT_LIMIT
) -> operator_pb2.ExamineResponse:
    """Examine a database without a core, as OperatorService.Examine does with one.

    `key_ids` are the ids of the keyring's keys, where they are known.

    Raises:
        DatabaseUnavailableError: the database does not answer, is in use by a core that has it to
            itself, or its schema does not fit.
        Refusal: it stopped answering in the middle.
        ValueError: the database's URL is none, or there is no such file.
    """
    check_file(database_url)
    database = Database(database_url, busy_seconds=1.0)
    try:
        await upgrade.check_schema(database)
        doctor = DoctorService(database, key_ids=key_ids, is_served=not database.has_one_process)
        return examine_response(await doctor.examine(limit))
    finally:
        await database.close()


async def serve(
    settings: CoreSettings,
    on_ready: Callable[[str], None],
    stop: asyncio.Event,
    clock: Clock | None = None,
    *,
    on_hangup: Callable[[Callable[[], None]], None] | None = None,
) -> None:
    """Serve until `stop` is set, then finish what has begun; `on_ready` gets the address.

    `clock` is the time that correctness rests on; the system's where none is given. `on_hangup`
    is given what to call when the certificates are to be read anew.

    Raises:
        DatabaseUnavailableError: the database does not answer, or its schema does not fit.
        ValueError: a setting cannot work.
        OSError: the address cannot be listened on.
    """
    if not __debug__:
        raise ValueError(
            "Python's -O (or PYTHONOPTIMIZE) drops the checks on money: run without it"
        )
    listener = Listener(settings.listen, settings.tls)
    if on_hangup is not None and settings.tls is not None:
        on_hangup(listener.reload)
    check_schema()
    validation.compile_all()
    database = Database(settings.database_url, clock, connections=settings.database_pool)
    gateway = StripeGateway(settings.stripe_urls, timeout_seconds=settings.gateway_timeout_seconds)
    authorize = AuthorizeGateway(settings.authorize_urls, settings.gateway_timeout_seconds)
    gateways: dict[str, Gateway] = {"stripe": gateway, "authorize": authorize}
    try:
        if settings.migrate:
            await upgrade.migrate(database)
        await upgrade.check_schema(database)
        await check_keyring(database, settings.keyring)
        await _serve(settings, listener, database, gateways, authorize, on_ready, stop)
    finally:
        await authorize.close()
        await gateway.close()
        await database.close()


async def _serve(
    settings: CoreSettings,
    listener: Listener,
    database: Database,
    gateways: dict[str, Gateway],
    authorize: AuthorizeGateway,
    on_ready: Callable[[str], None],
    stop: asyncio.Event,
) -> None:
    authentication = AuthenticationService(database, settings.service_tokens)
    credentials = CredentialsService(database, settings.keyring)
    idempotency = Idempotency(database, settings.keyring)
    settle_time = timedelta(seconds=settings.authorize_settle_seconds)
    payments = PaymentsService(database, credentials, gateways, idempotency, settle_time)
    errors = ErrorInterceptor()
    server = grpc.aio.server(
        interceptors=[
            RequestIdInterceptor(),
            errors,
            AuthenticationInterceptor(authentication),
            ValidationInterceptor(),
            IdempotencyInterceptor(idempotency, database),
        ],
        options=[
            ("grpc.so_reuseport", 0),  # a second core on the port must fail, not share it
            ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
        ],
    )
    authentication_pb2_grpc.add_AuthenticationServiceServicer_to_server(
        AuthenticationServicer(authentication), server
    )
    business = BusinessService(database)
    business_pb2_grpc.add_BusinessServiceServicer_to_server(BusinessServicer(business), server)
    doctor = DoctorService(database, key_ids=settings.keyring.keys)
    operator_pb2_grpc.add_OperatorServiceServicer_to_server(
        OperatorServicer(business, doctor), server
    )
    credentials_pb2_grpc.add_CredentialsServiceServicer_to_server(
        CredentialsServicer(credentials), server
    )
    users_pb2_grpc.add_UsersServiceServicer_to_server(UsersServicer(UsersService(database)), server)
    keys_pb2_grpc.add_KeysServiceServicer_to_server(KeysServicer(credentials), server)
    cards_pb2_grpc.add_CardsServiceServicer_to_server(
        CardsServicer(CardsService(database, credentials, gateways, idempotency)), server
    )
    payments_pb2_grpc.add_PaymentsServiceServicer_to_server(PaymentsServicer(payments), server)
    wallet_pb2_grpc.add_WalletServiceServicer_to_server(
        WalletServicer(WalletService(database), WalletBatch(database, idempotency)), server
    )
    _add_recurring(server, database, payments, JobClock(settings.test_clock))
    webhooks = WebhooksService(database, credentials, idempotency, authorize)
    webhooks_pb2_grpc.add_WebhooksServiceServicer_to_server(WebhooksServicer(webhooks), server)
    health_servicer = HealthServicer(database)
    health_pb2_grpc.add_HealthServicer_to_server(health_servicer, server)
    services = {method.containing_service.full_name for method in service_methods()}
    reflection.enable_server_reflection(
        (*sorted(services), health.SERVICE_NAME, reflection.SERVICE_NAME), server
    )
    address = listener.open(server)
    await server.start()
    drained = asyncio.Event()
    leases = asyncio.create_task(
        every(RENEW_SECONDS, payments.renew_leases, "renewing leases", drained)
    )
    chores = asyncio.gather(
        every(SWEEP_SECONDS, payments.sweep, "the sweep", stop),
        every(CHORE_SECONDS, webhooks.go_on, "following webhooks", stop),
        every(REAP_SECONDS, idempotency.reap, "reaping idempotency records", stop),
    )
    health_servicer.serve()
    logger.info("serving", extra={"address": address})
    on_ready(address)
    try:
        await stop.wait()
    finally:
        stop.set()
        health_servicer.drain()
        # Clients that watch its health go elsewhere meanwhile; calls on their way are still served.
        await asyncio.sleep(settings.lame_duck_seconds)
        deadline = time.monotonic() + settings.drain_seconds
        await health_servicer.end()
        await server.stop(max(0.0, deadline - time.monotonic()))
        unfinished = await errors.drain(max(0.0, deadline - time.monotonic()))
        await payments.drain(max(0.0, deadline - time.monotonic()))
        await asyncio.wait([chores], timeout=max(0.0, deadline - time.monotonic()))
        drained.set()
        await leases
        logger.info("stopped", extra={"unfinished": unfinished})


def _add_recurring(
    server: grpc.aio.Server, database: Database, payments: PaymentsService, clock: JobClock
) -> None:
    execution = Execution(database, payments, clock)
    recurring_pb2_grpc.add_RecurringServiceServicer_to_server(
        RecurringServicer(RecurringService(database, clock)), server
    )
    occurrences_pb2_grpc.add_OccurrencesServiceServicer_to_server(
        OccurrencesServicer(Claims(database, clock), execution), server
    )
    test_clock_pb2_grpc.add_TestClockServiceServicer_to_server(
        TestClockServicer(TestClockAdvance(database, execution, clock)), server
    )


async def every(
    seconds: float, work: Callable[[], Awaitable[object]], name: str, stop: asyncio.Event
) -> None:
    """Do `work` every so many seconds until `stop` is set; what it raises is logged, not raised."""
    while not stop.is_set():
        try:
            await work()
        except (DatabaseUnavailableError, CommitUnknownError) as error:
            logger.warning("%s: %s", name, error)
        except Exception:
            logger.exception("%s failed", name)
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await stop.wait()
