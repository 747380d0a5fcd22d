"""Composition root: makes the core from its settings, starts it and stops it."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Collection
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from datetime import timedelta
from functools import partial

import grpc.aio
from google.protobuf.message import Message
from grpc_health.v1 import health, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from core.audit.sequencer import SEQUENCE_SECONDS, Sequencer
from core.audit.service import AuditService
from core.audit.servicer import AuditServicer
from core.authentication.pipeline import settle
from core.authentication.service import AuthenticationService
from core.authentication.servicer import AuthenticationServicer
from core.business.api_keys import USES_SECONDS, ApiKeys
from core.business.known_callers import KnownCallers
from core.business.limiter import BusinessLimiter
from core.business.service import BusinessService
from core.business.servicer import BusinessServicer
from core.business.stopping import Stopping
from core.caller import current_caller
from core.cards.following import CardFollower
from core.cards.importing import CustomerImporter
from core.cards.service import CardsService
from core.cards.servicer import CardsServicer
from core.credentials.service import CredentialsService, check_keyring
from core.credentials.servicer import CredentialsServicer
from core.credentials.verification import Verification
from core.database.clock import Clock, MonotonicClock, SystemClock, SystemMonotonicClock
from core.database.engines import check_file
from core.database.migrations import upgrade
from core.database.transactions import CommitUnknownError, Database, DatabaseUnavailableError
from core.doctor.messages import examine_response
from core.doctor.rules import DEFAULT_LIMIT
from core.doctor.service import DoctorService
from core.due_work.service import POLL_SECONDS, DueWork
from core.gateways.authorize.gateway import AuthorizeGateway
from core.gateways.gateway import Gateway
from core.gateways.stripe.gateway import StripeGateway
from core.idempotency.pipeline import IdempotentRuns
from core.idempotency.service import REAP_SECONDS, Idempotency
from core.keys.servicer import KeysServicer
from core.metrics import GATEWAY_CALL_SECONDS, LIMITED, REQUEST_SECONDS, WALLET_BATCH_MOVEMENTS
from core.operator.erasure import Erasure
from core.operator.service import OperatorService, Retention
from core.operator.servicer import OperatorServicer
from core.payments.attempts import RENEW_SECONDS
from core.payments.decisions import Decisions
from core.payments.lookup import Lookup
from core.payments.service import PaymentsService
from core.payments.servicer import PaymentsServicer
from core.payments.transitions import Transitions
from core.recurring.claims import Claims
from core.recurring.clock_service import TestClockService
from core.recurring.clock_store import JobClock
from core.recurring.execution import Execution
from core.recurring.following import CycleFollower
from core.recurring.internal_servicers import OccurrencesServicer, TestClockServicer
from core.recurring.retries import Retries
from core.recurring.service import RecurringService
from core.recurring.servicer import RecurringServicer
from core.refunds.decisions import RefundDecisions
from core.refunds.service import RefundsService
from core.refunds.servicer import RefundsServicer
from core.reports.service import ReportsService
from core.reports.servicer import ReportsServicer
from core.sealing.service import SealingService
from core.server import validation
from core.server.gateway_calls import observe_calls
from core.server.gauges import BACKLOG_SECONDS, CoreGauges
from core.server.health import HealthServicer
from core.server.listening import Listener
from core.server.old_answers import COMPLETIONS
from core.server.pipeline import Pipeline
from core.server.settings import CoreSettings
from core.server.stream import SERVER_OPTIONS, Streams
from core.server.unary_calls import UnaryCalls
from core.users.service import UsersService
from core.users.servicer import UsersServicer
from core.wallet.batch import WalletBatch
from core.wallet.holds import Holds
from core.wallet.receivables import Receivables
from core.wallet.service import WalletService
from core.wallet.servicer import WalletServicer
from core.wallet.transfers import Transfers
from core.webhooks.service import REAP_SECONDS as EVENTS_REAP_SECONDS
from core.webhooks.service import WebhooksService
from core.webhooks.servicer import WebhooksServicer
from nivisco.internal.v1 import operator_pb2
from rpc.catalogue import service_methods
from rpc.credential_failures import CredentialFailures
from rpc.metrics import process_registry
from rpc.metrics_listener import serving_metrics
from rpc.schema_check import check_schema_options

logger = logging.getLogger("core")

MAX_MESSAGE_BYTES = (1024 + 64) * 1024
"""Largest message received: a webhook of 1 MiB with its other fields."""


async def migrate(settings: CoreSettings) -> str:
    """Migrate the database to this version's schema and return its revision.

    Raises:
        DatabaseUnavailableError: the database does not answer, or has a newer schema.
        ValueError: the URL is not that of a supported database.
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

    `key_ids` are the ids of the keyring's keys, None if they are unknown.

    Raises:
        DatabaseUnavailableError: the database does not answer, is locked by a core, or its schema
            does not fit.
        Refusal: the database stopped answering during the examination.
        ValueError: the URL is not that of a supported database, or the file does not exist.
    """
    check_file(database_url)
    database = Database(database_url, busy_seconds=1.0)
    try:
        await upgrade.check_schema(database)
        doctor = DoctorService(database, key_ids=key_ids, has_core=not database.has_one_process)
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
    monotonic_clock: MonotonicClock | None = None,
) -> None:
    """Serve until `stop` is set, then finish the calls in flight.

    `on_ready` is called with the address once the core serves. `clock` defaults to the database's
    time, `monotonic_clock` to this machine's. `on_hangup` is called with the function that reloads
    the certificates.

    Raises:
        DatabaseUnavailableError: the database does not answer, or its schema does not fit.
        ValueError: a setting or the API's schema is unusable.
        OSError: the address cannot be listened on.
    """
    if not __debug__:
        raise ValueError(
            "Python's -O (or PYTHONOPTIMIZE) drops the checks on money: run without it"
        )
    listener = Listener(settings.listen, settings.tls)
    if on_hangup is not None and settings.tls is not None:
        on_hangup(listener.reload)
    check_schema_options()
    validation.compile_all()
    database = Database(
        settings.database_url,
        clock,
        connections=settings.database_pool,
        list_connections=settings.database_list_pool,
        digest=settings.keyring.digest_of_change,
    )
    stripe = StripeGateway(settings.stripe_urls, timeout_seconds=settings.gateway_timeout_seconds)
    authorize = AuthorizeGateway(
        settings.authorize_urls, settings.gateway_timeout_seconds, (clock or SystemClock()).now
    )
    observe_calls("stripe", stripe)
    observe_calls("authorize", authorize)
    try:
        if settings.migrate:
            await upgrade.migrate(database)
        await upgrade.check_schema(database)
        await check_keyring(database, settings.keyring)
        monotonic_clock = monotonic_clock or SystemMonotonicClock()
        known_callers = KnownCallers(database, monotonic_clock)
        services = _make_services(settings, database, known_callers, stripe, authorize)
        async with AsyncExitStack() as metrics:
            await _serve(
                settings, listener, database, services, monotonic_clock, on_ready, stop, metrics
            )
    finally:
        await authorize.close()
        await stripe.close()
        await database.close()


@dataclass(frozen=True, slots=True)
class _Services:
    """Use cases that the pipeline, servicers and background tasks share."""

    authentication: AuthenticationService
    business: BusinessService
    api_keys: ApiKeys
    stopping: Stopping
    cards: CardsService
    importer: CustomerImporter
    credentials: CredentialsService
    verification: Verification
    idempotency: Idempotency
    payments: PaymentsService
    refunds: RefundsService
    decisions: Decisions
    refund_decisions: RefundDecisions
    webhooks: WebhooksService
    holds: Holds


def _make_services(
    settings: CoreSettings,
    database: Database,
    known_callers: KnownCallers,
    stripe: StripeGateway,
    authorize: AuthorizeGateway,
) -> _Services:
    gateways: dict[str, Gateway] = {"stripe": stripe, "authorize": authorize}
    credentials = CredentialsService(database, settings.keyring, known_callers)
    idempotency = Idempotency(
        database, settings.keyring, timedelta(days=settings.keep_answers_days - 1)
    )
    transitions = Transitions(idempotency, [CycleFollower(JobClock(settings.test_clock))])
    settle_time = timedelta(seconds=settings.authorize_settle_seconds)
    return _Services(
        authentication=AuthenticationService(database, known_callers, settings.service_tokens),
        business=BusinessService(database, known_callers),
        api_keys=ApiKeys(database, known_callers),
        cards=CardsService(database, credentials, gateways, idempotency, settings.card_testing),
        stopping=Stopping(database, known_callers),
        importer=CustomerImporter(database, credentials, gateways, idempotency),
        credentials=credentials,
        verification=Verification(database, credentials, gateways),
        idempotency=idempotency,
        payments=PaymentsService(
            database,
            credentials,
            gateways,
            idempotency,
            transitions,
            settle_time,
            settings.card_testing,
        ),
        refunds=RefundsService(
            database, credentials, gateways, idempotency, transitions, settle_time
        ),
        decisions=Decisions(database, credentials, gateways, transitions, settle_time),
        refund_decisions=RefundDecisions(
            database, credentials, gateways, idempotency, transitions, settle_time
        ),
        webhooks=WebhooksService(
            database,
            credentials,
            transitions,
            {"stripe": stripe, "authorize": authorize},
            CardFollower(database, credentials, gateways),
            timedelta(days=settings.keep_ignored_events_days),
        ),
        holds=Holds(database),
    )


def _make_pipeline(
    settings: CoreSettings,
    database: Database,
    services: _Services,
    monotonic_clock: MonotonicClock,
) -> Pipeline:
    audit = AuditService(database, settings.keyring)
    doctor = DoctorService(database, key_ids=settings.keyring.keys, audit=audit)
    operator = OperatorService(
        database,
        services.decisions,
        services.refund_decisions,
        Retention(settings.keep_answers_days, settings.keep_ignored_events_days),
    )
    job_clock = JobClock(settings.test_clock)
    execution = Execution(database, services.payments, job_clock)
    wallet_batch = WalletBatch(database, services.idempotency)
    credentials = CredentialsServicer(services.credentials, services.verification)
    public: dict[str, object] = {
        "AuditService": AuditServicer(audit),
        "AuthenticationService": AuthenticationServicer(services.business),
        "BusinessService": BusinessServicer(services.business, services.api_keys),
        "CardsService": CardsServicer(services.cards, services.importer),
        "CredentialsService": credentials,
        "KeysService": KeysServicer(services.credentials),
        "PaymentsService": PaymentsServicer(services.payments, Lookup(database)),
        "RecurringService": RecurringServicer(
            RecurringService(database, job_clock),
            Retries(database, services.payments, services.idempotency, execution, job_clock),
        ),
        "RefundsService": RefundsServicer(services.refunds),
        "ReportsService": ReportsServicer(ReportsService(database)),
        "UsersService": UsersServicer(UsersService(database)),
        "WalletService": WalletServicer(
            WalletService(database),
            wallet_batch,
            Transfers(database),
            services.holds,
            Receivables(database),
        ),
    }
    internal: dict[str, object] = {
        "OccurrencesService": OccurrencesServicer(Claims(database, job_clock), execution),
        "OperatorService": OperatorServicer(
            services.business,
            doctor,
            services.decisions,
            services.refund_decisions,
            operator,
            SealingService(database, settings.keyring),
            Erasure(database, settings.keyring),
            services.stopping,
            audit,
        ),
        "TestClockService": TestClockServicer(TestClockService(database, execution, job_clock)),
        "WebhooksService": WebhooksServicer(services.webhooks),
    }
    limiter = BusinessLimiter(settings.business_limits, monotonic_clock)
    return Pipeline(
        {f"nivisco.payments.v1.{name}": each for name, each in public.items()}
        | {f"nivisco.internal.v1.{name}": each for name, each in internal.items()},
        services.authentication,
        IdempotentRuns(
            services.idempotency,
            database,
            COMPLETIONS,
            partial(settle, services.authentication),
            partial(_verify_at_gateway, limiter, credentials),
        ),
        limiter,
    )


def _verify_at_gateway(
    limiter: BusinessLimiter, credentials: CredentialsServicer, request: Message
) -> Callable[[], Awaitable[None]] | None:
    """Return what `verify` asks for, as a request at a gateway; None if nothing."""
    verify = credentials.verify(request)
    return None if verify is None else partial(limiter.at_gateway, current_caller(), verify)


def _enable_reflection(server: grpc.aio.Server) -> None:
    names = {method.containing_service.full_name for method in service_methods()}
    reflection.enable_server_reflection(
        (*sorted(names), health.SERVICE_NAME, reflection.SERVICE_NAME), server
    )


async def _serve(
    settings: CoreSettings,
    listener: Listener,
    database: Database,
    services: _Services,
    monotonic_clock: MonotonicClock,
    on_ready: Callable[[str], None],
    stop: asyncio.Event,
    metrics: AsyncExitStack,
) -> None:
    pipeline = _make_pipeline(settings, database, services, monotonic_clock)
    server = grpc.aio.server(
        options=[
            ("grpc.so_reuseport", 0),  # a second core on the port must fail, not share it
            ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
            *SERVER_OPTIONS,
        ],
    )
    streams = Streams(pipeline, services.authentication, MAX_MESSAGE_BYTES)
    failures = CredentialFailures(settings.credential_failures_per_minute, monotonic_clock.seconds)
    server.add_generic_rpc_handlers((UnaryCalls(pipeline, failures), streams))
    _enable_reflection(server)
    health_servicer = HealthServicer(database)
    health_pb2_grpc.add_HealthServicer_to_server(health_servicer, server)
    address = listener.open(server)
    await server.start()
    gauges = CoreGauges(database, lambda: pipeline.in_flight)
    registry = process_registry(
        REQUEST_SECONDS, GATEWAY_CALL_SECONDS, WALLET_BATCH_MOVEMENTS, LIMITED, gauges
    )
    await metrics.enter_async_context(
        serving_metrics(settings.metrics, registry, health_servicer.is_ready)
    )
    drained = asyncio.Event()
    leases = asyncio.gather(
        *(
            every(RENEW_SECONDS, each.renew_leases, "renew_leases", drained)
            for each in (services.payments, services.refunds)
        )
    )
    due_work = DueWork(
        database,
        [services.payments, services.webhooks, services.refunds, services.holds],
        poll_seconds=POLL_SECONDS,
    )
    sequencer = Sequencer(database, settings.keyring, settings.audit_checkpoints)
    tasks = asyncio.gather(
        due_work.run(stop),
        every(REAP_SECONDS, services.idempotency.reap, "reap_idempotency_records", stop),
        every(EVENTS_REAP_SECONDS, services.webhooks.reap, "reap_ignored_events", stop),
        *(
            [every(BACKLOG_SECONDS, gauges.read_backlog, "read_backlog", stop)]
            if settings.metrics
            else []
        ),
        every(SEQUENCE_SECONDS, sequencer.run, "sequence_audit", stop),
        every(USES_SECONDS, services.api_keys.save_uses, "save_key_uses", stop),
    )
    health_servicer.serve()
    logger.info("serving", extra={"address": address})
    on_ready(address)
    try:
        await stop.wait()
    finally:
        stop.set()
        health_servicer.drain()
        streams.drain()
        # Clients that watch go to another core meanwhile; their calls are still served.
        await asyncio.sleep(settings.lame_duck_seconds)
        deadline = time.monotonic() + settings.drain_seconds
        streams.end()
        await health_servicer.end()
        await server.stop(max(0.0, deadline - time.monotonic()))
        unfinished = await pipeline.drain(max(0.0, deadline - time.monotonic()))
        await services.payments.drain(max(0.0, deadline - time.monotonic()))
        await asyncio.wait([tasks], timeout=max(0.0, deadline - time.monotonic()))
        drained.set()
        await leases
        with suppress(DatabaseUnavailableError, CommitUnknownError):
            await services.api_keys.save_uses()
            await sequencer.finish()
        logger.info("stopped", extra={"unfinished_calls": unfinished})


async def every(
    seconds: float, work: Callable[[], Awaitable[object]], task: str, stop: asyncio.Event
) -> None:
    """Run `work` every `seconds` until `stop` is set; its exceptions are logged, not raised."""
    while not stop.is_set():
        try:
            await work()
        except (DatabaseUnavailableError, CommitUnknownError) as error:
            extra = {"task": task, "reason": str(error)}
            logger.warning("background task failed, retrying", extra=extra)
        except Exception:
            logger.exception("background task failed", extra={"task": task})
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await stop.wait()
