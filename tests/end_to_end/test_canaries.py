"""Card numbers, CVVs, keys and secrets in any field of any action are nowhere that people look.

Nowhere are logs, errors, the database with its audit trail, metrics, traces and profiles. The
fields are those of the schema, so a new action or field is part of it. Each is sent with a value of
its own: secrets as secret fields take them, a card number in all others.
"""

import asyncio
import logging
import re
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from google.protobuf import message_factory
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from sqlalchemy import Table, text

from cli.logs import _AT_LEAST
from cli.profiler import SUFFIX, Profiler
from core.database.schema import audit_events, audit_pending, metadata
from core.database.transactions import Database
from core.server import composition
from nivisco.payments.v1.audit_pb2 import AuditEvent
from rpc import tracing
from rpc.catalogue import action_name, methods_by_path, service_methods
from rpc.errors import CoreError
from rpc.metadata import Credentials
from scheduler.server import serve as serve_scheduler
from scheduler.settings import SchedulerSettings
from tests.core.running import SCHEDULER_TOKEN, serving
from tests.end_to_end.examples import Samples, read, run_examples
from tests.end_to_end.running import JsonClient, Response, Stack, running_stack
from tests.rpc.otlp_receiver import Receiver, receiving, trace_to
from transcoding import exact_json

AT_ONCE = 16
_LAST = ("modify_stripe_credentials", "modify_authorize_credentials", "change_api_key")
"""Later requests could not get far after these."""


def card_number(number: int) -> str:
    """Return a card number with its check digit (ISO/IEC 7812-1, Luhn), a new one for each."""
    digits = f"400005{number:09}"
    doubled = (int(d) * (2 if at % 2 == 0 else 1) for at, d in enumerate(reversed(digits)))
    return digits + str(-sum(d - 9 if d > 9 else d for d in doubled) % 10)


_FITTING = {
    "card_number": "{card}",
    "stripe_secret_key": "sk_test_canary{card}",
    "stripe_webhook_secret": "whsec_canary{card}",
    "transaction_key": "{card}",
    "signature_key": "CA7A{card}",
    "payment_method_token": "pm_canary{card}",
    "data_value": "canary{card}",
    "cvv": "{card}",
}
"""By the name of a secret field, a value that it takes; of a CVV, one that is refused."""
CVV = "0937"
"""A CVV of American Express, and by its first digit no number that a program writes."""
_AMERICAN_EXPRESS = "370000000000002"
_WITH_CVV = ("create_authorize_customer", ("payment_profile", "cvv"))
_CVV_AS_VALUE = re.compile(rb"""(?:["'>=\x04]|\\x04| )""" + CVV.encode() + rb"(?!\w)")
"""The CVV as a whole value: quoted, in an element, after a sign, or with its length in front.

Digits inside of longer ones, such as a hash, an id or a time, are none.
"""


@dataclass(frozen=True)
class Canary:
    """A value that one field of an action is sent with."""

    action: str
    path: tuple[str, ...]
    value: str
    is_secret: bool
    """Whether the field is one for secrets, so that no database may hold the value."""


def leaves(
    message: Descriptor, path: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], FieldDescriptor]]:
    """Yield every field of a message that is none itself, with its path."""
    for field in message.fields:
        inner = field.message_type
        if (
            inner is not None
            and inner.file.package.startswith("nivisco.")
            and not (inner.GetOptions().map_entry)
        ):
            yield from leaves(inner, (*path, field.name))
        else:
            yield (*path, field.name), field


def canaries() -> list[Canary]:
    """Return a canary for every field of every action."""
    found: list[Canary] = []
    for method in methods_by_path().values():
        if not method.is_action:
            continue
        action = action_name(method.descriptor.name)
        for path, field in leaves(method.descriptor.input_type):
            card = card_number(len(found))
            is_secret = field.GetOptions().debug_redact
            value = _FITTING[field.name].format(card=card) if is_secret else card
            found.append(Canary(action, path, value, is_secret))
    return sorted(found, key=lambda each: each.action in _LAST)


def with_value(request: dict[str, Any], path: tuple[str, ...], value: Any) -> dict[str, Any]:
    """Return a copy of a request with another value at a path."""
    changed = deepcopy(request)
    inner = changed
    for name in path[:-1]:
        inner = inner.setdefault(name, {})
    inner[path[-1]] = value
    return changed


async def send_all(stack: Stack, merchant: JsonClient, samples: Samples) -> list[Response]:
    """Send every canary over JSON, in the request of its action's example."""
    limit = asyncio.Semaphore(AT_ONCE)

    async def send(canary: Canary) -> Response:
        client = stack.admin if canary.action == "register_business" else merchant
        request = samples.to_send(read(canary.action)["request"])
        if canary.path != ("idempotency_key",):
            request.pop("idempotency_key", None)
        if canary.action == _WITH_CVV[0]:
            request["payment_profile"] |= {"card_number": _AMERICAN_EXPRESS, "cvv": CVV}
        who = {"business_id": client.business_id, "api_key": client.api_key}
        fields = with_value(request, canary.path, canary.value)
        async with limit:
            return await client.send(exact_json.write(who | {"action": canary.action} | fields))

    planned = canaries()
    at_once = [each for each in planned if each.action not in _LAST]
    answers = await asyncio.gather(*map(send, at_once))
    return [*answers, *[await send(each) for each in planned[len(at_once) :]]]


async def send_all_over_grpc(stack: Stack, merchant: JsonClient) -> list[str]:
    """Send every canary of a text field to the core, alone in its request; return the errors."""
    methods = {action_name(each.name): each for each in service_methods()}
    credentials = Credentials(merchant.business_id, merchant.api_key)
    errors = []
    for canary in [*canaries(), Canary(*_WITH_CVV, CVV, is_secret=True)]:
        method = methods[canary.action]
        message = message_factory.GetMessageClass(method.input_type)()
        inner = message
        for name in canary.path[:-1]:
            inner = getattr(inner, name)
        if inner.DESCRIPTOR.fields_by_name[canary.path[-1]].type != FieldDescriptor.TYPE_STRING:
            continue
        if canary.path == ("idempotency_key",):  # over JSON it was used for another request
            continue
        setattr(inner, canary.path[-1], canary.value)
        try:
            await stack.core.call(method, message, credentials, timeout_seconds=25.0)
        except CoreError as error:
            errors.append(f"{error.message} {error.metadata} {error.fields}")
    return errors


async def rows_of(database_url: str, tables: Sequence[Table]) -> str:
    """Return all rows of tables, with every value in quotes."""
    database = Database(database_url)
    rows: list[str] = []
    try:
        async with database.read() as transaction:
            for table in tables:
                names = ", ".join(f'CAST("{each.name}" AS text)' for each in table.columns)
                found = await transaction.connection.execute(
                    text(f'SELECT {names} FROM "{table.name}"')  # noqa: S608 - ours
                )
                rows += [repr(tuple(row)) for row in found]
    finally:
        await database.close()
    return "\n".join(rows)


def files_of(path: Path) -> bytes:
    """Return a SQLite database's files, with the write-ahead log that its core has open."""
    return b"".join(each.read_bytes() for each in path.glob("nivisco.db*"))


@asynccontextmanager
async def profiled(directory: Path) -> AsyncIterator[None]:
    """Profile this process, where all others run in this test, until the block ends."""
    profiler = Profiler("canaries", str(directory))
    profiler.toggle()
    try:
        yield
    finally:
        profiler.toggle()


async def metrics_of(caplog: pytest.LogCaptureFixture) -> str:
    """Return the metrics of every listener that the log names: core, adapter and scheduler."""
    served = [vars(each) for each in caplog.records if each.message == "metrics served"]
    assert len(served) == 3
    texts = []
    async with aiohttp.ClientSession() as session:
        for each in served:
            async with session.get(f"{each['address']}/metrics") as response:
                texts.append(await response.text())
    return "\n".join(texts)


def test_every_field_of_every_action_has_a_canary_of_its_own() -> None:
    planned = canaries()
    assert len({each.value for each in planned}) == len(planned) > 200
    assert sum(each.is_secret for each in planned) >= 12
    assert [each.path for each in planned if each.path[-1] == "cvv"] == [_WITH_CVV[1]]
    assert not any(each.value.endswith(CVV) for each in planned), "the last four digits are shown"


@pytest.mark.parametrize(
    ("written", "is_found"),
    [
        (f'{{"cvv": "{CVV}"}}'.encode(), True),
        (f"<cardCode>{CVV}</cardCode>".encode(), True),
        (repr(("cvv", CVV)).encode(), True),
        (f"cvv={CVV} refused, not {CVV}.".encode(), True),
        (AuditEvent(action=CVV).SerializeToString(), True),
        (repr(AuditEvent(action=CVV).SerializeToString()).encode(), True),
        (f"{float(CVV)} {int(CVV)} 1{CVV} {CVV}1 0.{CVV} a{CVV} 12:00:00+{CVV}".encode(), False),
    ],
)
def test_a_cvv_is_found_as_a_value_and_not_in_other_numbers(
    written: bytes, *, is_found: bool
) -> None:
    assert (_CVV_AS_VALUE.search(written) is not None) == is_found


@dataclass(frozen=True)
class Traces:
    """What was written while canaries were sent, by kind, and the keys that were issued."""

    by_kind: dict[str, bytes]
    api_keys: list[str]
    business_id: str
    answers: list[Response]


async def written_while_sending(
    tmp_path: Path, database_url: str, caplog: pytest.LogCaptureFixture, receiver: Receiver
) -> Traces:
    """Run the examples, then send every canary over JSON and gRPC; return all that is written."""
    samples = Samples()
    async with (
        profiled(tmp_path),
        running_stack(tmp_path, database_url, metrics=("127.0.0.1", 0)) as stack,
        serving(scheduler_of(stack.core.target)),
    ):
        results = {}
        async for result in run_examples(stack, samples):
            samples.differences(result.shown, result.actual)
            results[result.name] = result.actual
        issued = results["change_api_key"]
        merchant = stack.merchant.as_business(issued["business_id"], issued["api_key"])
        errors = await send_all_over_grpc(stack, merchant)
        answers = await send_all(stack, merchant, samples)
        metrics = await metrics_of(caplog)
        files = files_of(tmp_path)
    rows = await rows_of(database_url, metadata.sorted_tables)
    audited = await rows_of(database_url, [audit_events, audit_pending])
    await asyncio.to_thread(tracing.stop)
    errors += [answer.text for answer in answers if answer.status != 200]
    (profile,) = tmp_path.glob(f"*{SUFFIX}")
    by_kind = {
        "log": "\n".join(repr(vars(record)) for record in caplog.records).encode(),
        "errors": "\n".join(errors).encode(),
        "database": rows.encode() + files,
        "audit trail": audited.encode(),
        "metrics": metrics.encode(),
        "traces": b"\n".join(receiver.bodies),
        "profile": profile.read_bytes(),
    }
    keys = [issued["api_key"], results["register_business"]["api_key"], stack.admin.api_key]
    return Traces(by_kind, keys, merchant.business_id, answers)


def scheduler_of(core_target: str) -> Callable[[Callable[[str], None]], Any]:
    """Return what runs a scheduler that claims from a core, as `serving` takes it."""
    settings = SchedulerSettings(SCHEDULER_TOKEN, core_target=core_target, port=0)
    return lambda ready: serve_scheduler(settings, ready, asyncio.Event())


_PRESENT = {
    "log": b"charge_customer",
    "errors": b"cvv",
    "database": b"Alicia",
    "audit trail": b"create_user",
    "metrics": b'action="charge_customer"',
    "traces": b"charge_customer",
    "profile": b"adapter/endpoint.py",
}
"""What shows that something was written."""


async def test_no_canary_is_where_people_look(
    tmp_path: Path,
    database_url: str,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, least in _AT_LEAST.items():  # as in every process
        caplog.set_level(least, name)
    caplog.set_level(logging.DEBUG)  # last: each of these sets the handler's level, too
    monkeypatch.setattr(composition, "SEQUENCE_SECONDS", 0.05)
    async with receiving() as receiver:
        trace_to(receiver, "all", monkeypatch)
        try:
            traces = await written_while_sending(tmp_path, database_url, caplog, receiver)
        finally:
            await asyncio.to_thread(tracing.stop)
    statuses = {answer.status for answer in traces.answers}
    assert {200, 400} <= statuses
    assert 500 not in statuses
    assert any(answer.body.get("payment_profile_id") for answer in traces.answers), "CVV was used"
    planned = canaries()
    for kind, written in traces.by_kind.items():
        assert _PRESENT[kind] in written, kind
        searched = [each for each in planned if each.is_secret or kind != "database"]
        assert [each for each in searched if each.value.encode() in written] == [], kind
        assert not [key for key in traces.api_keys if key.encode() in written], kind
        assert not _CVV_AS_VALUE.findall(written), kind
    assert any(each.value.encode() in traces.by_kind["database"] for each in planned), (
        "a name is stored as it is"
    )
    assert traces.business_id.encode() in traces.by_kind["log"]
