"""Card numbers, keys and secrets in any field of any action are in no log, error or database.

The fields are those of the schema, so a new action or field is part of it. Each is sent with a
value of its own: secrets as secret fields take them, a card number in all others.
"""

import asyncio
import logging
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import message_factory
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from sqlalchemy import text

from cli.logs import _AT_LEAST
from core.database.schema import metadata
from core.database.transactions import Database
from rpc.catalogue import action_name, methods_by_path, service_methods
from rpc.errors import CoreError
from rpc.metadata import Credentials
from tests.end_to_end.examples import Samples, read, run_examples
from tests.end_to_end.running import JsonClient, Response, Stack, running_stack
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
"""By the name of a secret field, a value that it takes; a CVV is too short to be searched for."""


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
    for canary in canaries():
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


async def stored(database_url: str, path: Path) -> bytes:
    """Return what the database has on disk: its files and write-ahead log, or all of its rows."""
    if database_url.startswith("sqlite"):
        return b"".join(each.read_bytes() for each in path.glob("nivisco.db*"))
    database = Database(database_url)
    rows: list[str] = []
    async with database.read() as transaction:
        for table in metadata.sorted_tables:
            query = text(f'SELECT row_to_json(t)::text FROM "{table.name}" t')  # noqa: S608 - ours
            rows += [row[0] for row in await transaction.connection.execute(query)]
    await database.close()
    return "\n".join(rows).encode()


def test_every_field_of_every_action_has_a_canary_of_its_own() -> None:
    planned = canaries()
    assert len({each.value for each in planned}) == len(planned) > 200
    assert sum(each.is_secret for each in planned) >= 12


async def test_no_canary_is_in_a_log_an_error_or_the_database(
    tmp_path: Path, database_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    for name, least in _AT_LEAST.items():  # as in every process
        caplog.set_level(least, name)
    caplog.set_level(logging.DEBUG)  # last: each of these sets the handler's level, too
    samples = Samples()
    async with running_stack(tmp_path, database_url) as stack:
        results = {}
        async for result in run_examples(stack, samples):
            samples.differences(result.shown, result.actual)
            results[result.name] = result.actual
        issued = results["change_api_key"]
        merchant = stack.merchant.as_business(issued["business_id"], issued["api_key"])
        errors = await send_all_over_grpc(stack, merchant)
        answers = await send_all(stack, merchant, samples)
        kept = await stored(database_url, tmp_path)
    statuses = {answer.status for answer in answers}
    assert {200, 400} <= statuses
    assert 500 not in statuses
    errors += [answer.text for answer in answers if answer.status != 200]
    logged = "\n".join(repr(vars(record)) for record in caplog.records)
    secrets = [each for each in canaries() if each.is_secret]
    in_errors = "\n".join(errors)
    assert any(each.value.encode() in kept for each in canaries()), "a name is stored as it is"
    assert merchant.business_id in logged
    assert [each for each in canaries() if each.value in logged] == []
    assert [each for each in canaries() if each.value in in_errors] == []
    assert [each for each in secrets if each.value.encode() in kept] == []
    api_keys = [issued["api_key"], results["register_business"]["api_key"], stack.admin.api_key]
    assert not any(key in logged or key.encode() in kept for key in api_keys)
