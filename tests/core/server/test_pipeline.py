"""The request pipeline: authentication, validation, errors and logs of every call."""

import asyncio
import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

import grpc
import grpc.aio
import pytest
from google.type.money_pb2 import Money

from core.caller import Presence, current_presence
from core.database.transactions import CommitUnknownError, DatabaseUnavailableError
from core.errors import InvalidFields, Reason, Refusal, status_of
from core.users.service import UsersService
from nivisco.annotations.v1 import annotations_pb2
from nivisco.internal.v1 import operator_pb2
from nivisco.payments.v1 import authentication_pb2, users_pb2, wallet_pb2
from rpc.catalogue import method_path, methods_by_path
from rpc.client import CoreClient
from rpc.error_details import FieldProblem
from rpc.errors import CoreError, core_error
from rpc.metadata import Credentials, request_id
from tests.core.running import (
    METHODS,
    OPERATOR_TOKEN,
    TRANSPORTS,
    Business,
    call,
    create_admin,
)
from transcoding.json_responses import invalid_fields

VALIDATE = authentication_pb2.ValidateBusinessRequest()
USER_INFO = users_pb2.GetUserInfoRequest(user_id="USR-1")


@pytest.fixture(params=TRANSPORTS)
def transport(request: pytest.FixtureRequest) -> str:
    """Both: unary calls and streams pass the same pipeline."""
    return str(request.param)


class Log(logging.Handler):
    """Records of the core's log, each with its request id."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[tuple[str, logging.LogRecord]] = []
        self._more = asyncio.Event()

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append((request_id.get(), record))
        self._more.set()

    async def line(self, identity: str, message: str) -> logging.LogRecord:
        """Wait for a record of the request."""
        async with asyncio.timeout(10):
            while True:
                for logged_for, record in self.lines:
                    if (logged_for, record.getMessage()) == (identity, message):
                        return record
                self._more.clear()
                await self._more.wait()


@pytest.fixture
def log() -> Iterator[Log]:
    logger, handler = logging.getLogger("core"), Log()
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    yield handler
    logger.removeHandler(handler)
    logger.setLevel(level)


@contextmanager
def request_named(identity: str) -> Iterator[None]:
    token = request_id.set(identity)
    try:
        yield
    finally:
        request_id.reset(token)


@pytest.mark.parametrize(
    "credentials",
    [
        Credentials(),
        Credentials("nobody", "0" * 64),
        Credentials("ADMIN-BUSINESS", "0" * 64),
        Credentials("ADMIN-BUSINESS", ""),
        Credentials(service_token=OPERATOR_TOKEN),
    ],
)
async def test_wrong_credentials_are_refused_alike(
    core: CoreClient, credentials: Credentials
) -> None:
    await create_admin(core)
    with pytest.raises(CoreError) as refused:
        await call(core, credentials, VALIDATE)
    assert (refused.value.reason, refused.value.message, refused.value.code) == (
        "INVALID_CREDENTIALS",
        "Invalid business credentials",
        grpc.StatusCode.UNAUTHENTICATED,
    )


@pytest.mark.parametrize(
    "credentials",
    [Credentials(), Credentials(service_token="x" * 40), Credentials("ADMIN-BUSINESS", "k")],
)
async def test_an_internal_service_needs_its_token(
    core: CoreClient, credentials: Credentials
) -> None:
    with pytest.raises(CoreError) as refused:
        await call(core, credentials, operator_pb2.CreateAdminRequest())
    assert refused.value.reason == "SERVICE_TOKEN_REQUIRED"


def test_methods_are_restricted_by_scopes_and_one_to_the_admin_business() -> None:
    methods = methods_by_path()
    assert {each.scope for each in methods.values()} == {None, "operator", "webhooks", "scheduler"}
    assert [path for path, each in methods.items() if each.admin_only] == [
        "/nivisco.payments.v1.BusinessService/RegisterBusiness"
    ]


def test_actions_accept_an_idempotency_key_unless_they_are_reads() -> None:
    for method in methods_by_path().values():
        is_read = method.descriptor.name.startswith(("Validate", "Get", "List"))
        assert not method.is_action or method.is_mutating != is_read, method.descriptor.name


async def test_credentials_are_checked_before_the_request(core: CoreClient) -> None:
    with pytest.raises(CoreError) as refused:
        await call(core, Credentials("nobody", "k"), users_pb2.GetUserInfoRequest())
    assert refused.value.reason == "INVALID_CREDENTIALS"


async def test_all_problems_of_a_request_are_reported_together(business: Business) -> None:
    with pytest.raises(CoreError) as refused:
        await business.call(
            users_pb2.CreateUserRequest(user=users_pb2.CreateUserRequest.NewUser(email="x"))
        )
    assert [problem.field for problem in refused.value.fields] == ["user.name", "user.email"]
    assert refused.value.message == "Invalid fields: user.name, user.email"


async def test_problems_that_the_caller_found_are_added_and_nothing_is_executed(
    business: Business, user_id: str
) -> None:
    with pytest.raises(CoreError) as refused:
        await business.client.call(
            METHODS["AddWalletFunds"],
            wallet_pb2.AddWalletFundsRequest(user_id=user_id),
            business.credentials,
            timeout_seconds=5,
            field_problems=[FieldProblem("note", "is unknown")],
        )
    assert [problem.field for problem in refused.value.fields] == ["note", "amount"]
    with pytest.raises(CoreError) as valid_but_for_ours:
        await business.client.call(
            METHODS["GetUserInfo"],
            users_pb2.GetUserInfoRequest(user_id=user_id),
            business.credentials,
            timeout_seconds=5,
            field_problems=[FieldProblem("note", "is unknown")],
        )
    assert [problem.field for problem in valid_but_for_ours.value.fields] == ["note"]


@pytest.mark.parametrize("name", Reason.keys()[1:])
def test_every_reason_has_its_grpc_code(name: str) -> None:
    error = Reason.DESCRIPTOR.values_by_name[name].GetOptions().Extensions[annotations_pb2.error]
    assert status_of(Refusal(Reason.Value(name), "sentence")).code == error.grpc_code


async def test_the_log_line_of_a_call_has_its_request_id(
    business: Business, caplog: pytest.LogCaptureFixture
) -> None:
    seen: list[str] = []

    def watch(_record: logging.LogRecord) -> bool:
        seen.append(request_id.get())
        return True

    logger = logging.getLogger("core")
    logger.addFilter(watch)
    token = request_id.set("req-42")
    try:
        with caplog.at_level(logging.INFO, logger="core"):
            await business.call(VALIDATE)
    finally:
        request_id.reset(token)
        logger.removeFilter(watch)
    assert "req-42" in seen


async def test_callers_that_leave_do_not_affect_others(business: Business, user_id: str) -> None:
    """Reads and writes: a cancelled query would leave SQLite locked."""

    async def leave(number: int) -> None:
        request = (
            wallet_pb2.GetUserWalletRequest(user_id=user_id)
            if number % 2
            else wallet_pb2.AddWalletFundsRequest(user_id=user_id, amount=Money(units=1))
        )
        task = asyncio.ensure_future(business.call(request))
        for _ in range(number % 7):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    async with asyncio.timeout(30):
        leaving = [leave(number) for number in range(100)]
        staying = [
            business.call(wallet_pb2.GetUserWalletRequest(user_id=user_id), timeout_seconds=10)
            for _ in range(20)
        ]
        await asyncio.gather(*leaving, *staying)
    async with asyncio.timeout(30):
        while True:  # the work of callers that left continues
            history = await business.call(wallet_pb2.GetWalletHistoryRequest(user_id=user_id))
            wallet = await business.call(wallet_pb2.GetUserWalletRequest(user_id=user_id))
            if wallet.wallet.balance.units == history.total:
                break


@pytest.mark.parametrize(
    ("error", "message", "traced"),
    [
        (KeyError("ours"), "internal error", True),
        (DatabaseUnavailableError("the database is full"), "database unavailable", False),
        (CommitUnknownError("cut off"), "commit outcome unknown", False),
    ],
)
async def test_the_error_of_a_call_whose_client_left_is_logged(
    business: Business,
    monkeypatch: pytest.MonkeyPatch,
    log: Log,
    error: Exception,
    message: str,
    traced: bool,
) -> None:
    begun, resume = asyncio.Event(), asyncio.Event()
    seen: list[Presence] = []

    async def fail(*_: object) -> NoReturn:
        seen.append(current_presence())
        begun.set()
        await resume.wait()
        raise error

    monkeypatch.setattr(UsersService, "get", fail)
    with request_named("req-left"):
        calling = asyncio.ensure_future(business.call(USER_INFO))
    await begun.wait()
    assert [presence.left for presence in seen] == [False]
    calling.cancel()
    assert (await log.line("req-left", "call")).__dict__["code"] == "CANCELLED"
    assert [presence.left for presence in seen] == [True]
    resume.set()
    line = await log.line("req-left", message)
    assert bool(line.exc_info) == traced


def test_outside_of_a_call_no_caller_has_left() -> None:
    assert not current_presence().left


@pytest.mark.parametrize(
    ("error", "reason", "retry", "message", "traced"),
    [
        (DatabaseUnavailableError("full"), "SERVICE_UNAVAILABLE", 1, "database unavailable", False),
        (CommitUnknownError("cut"), "OUTCOME_UNKNOWN", 1, "commit outcome unknown", False),
        (KeyError("ours"), "INTERNAL", None, "internal error", True),
    ],
)
async def test_an_error_that_is_no_refusal_is_logged_once(
    business: Business,
    monkeypatch: pytest.MonkeyPatch,
    log: Log,
    error: Exception,
    reason: str,
    retry: int | None,
    message: str,
    traced: bool,
) -> None:
    async def fail(*_: object) -> NoReturn:
        raise error

    monkeypatch.setattr(UsersService, "get", fail)
    with request_named("req-error"), pytest.raises(CoreError) as refused:
        await business.call(USER_INFO)
    assert (refused.value.reason, refused.value.retry_after_seconds) == (reason, retry)
    await log.line("req-error", "call")  # logged after the response
    lines = [record for identity, record in log.lines if identity == "req-error"]
    assert [record.getMessage() for record in lines] == [message, "call"]
    assert bool(lines[0].exc_info) == traced


@pytest.mark.parametrize(
    "raw",
    [b"\xff\xff", b"\x0a\x10a", b"\x0a\x02\xff\xfe"],
    ids=["no tag", "cut off", "no UTF-8"],
)
@pytest.mark.parametrize("method", ["GetUserInfo", "PauseRecurring"])
@pytest.mark.parametrize("valid", [True, False])
async def test_a_malformed_message_is_refused_after_authentication(
    business: Business, log: Log, raw: bytes, method: str, valid: bool
) -> None:
    credentials = business.credentials if valid else Credentials("nobody", "0" * 64)
    channel: Any = business.client._channel
    metadata = [*credentials.metadata(), ("x-request-id", "req-raw")]
    with pytest.raises(grpc.aio.AioRpcError) as answered:
        await channel.unary_unary(method_path(METHODS[method]))(raw, metadata=metadata)
    status: Any = answered.value
    refused = core_error(status.code(), status.details(), tuple(status.trailing_metadata()))
    malformed = FieldProblem("request", "is not a valid protobuf message")
    assert (refused.reason, refused.fields) == (
        ("INVALID_FIELDS", (malformed,)) if valid else ("INVALID_CREDENTIALS", ())
    )
    assert (await log.line("req-raw", "call")).__dict__["code"] == status.code().name


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        (["a"], "Invalid field a: is wrong"),
        (["a", "a"], "Invalid fields: a"),
        (list("abcde"), "Invalid fields: a, b, c, d, e"),
        (list("abcdefg"), "Invalid fields: a, b, c, d, e and 2 more"),
    ],
)
def test_the_error_message_names_up_to_five_fields_alike_in_json_and_grpc(
    fields: list[str], sentence: str
) -> None:
    problems = [FieldProblem(field, "is wrong") for field in fields]
    assert InvalidFields(problems).message == sentence
    assert json.loads(invalid_fields(problems).body)["error"] == sentence
