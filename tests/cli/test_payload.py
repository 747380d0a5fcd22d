import io
import sys
from pathlib import Path

import click
import pytest

from cli.payload import build_payload, describe, paths
from nivisco.payments.v1 import payments_pb2, recurring_pb2, users_pb2
from portal.reference.fields import request_fields
from portal.reference.model import Field
from transcoding import exact_json

_CREATE_USER = request_fields(users_pb2.CreateUserRequest.DESCRIPTOR)
_UPDATE_USER = request_fields(users_pb2.UpdateUserRequest.DESCRIPTOR)
_CHARGE = request_fields(payments_pb2.ChargeCustomerRequest.DESCRIPTOR)
_RECORDS = request_fields(payments_pb2.GetPaymentRecordsRequest.DESCRIPTOR)
_RECURRING = request_fields(recurring_pb2.CreateRecurringRequest.DESCRIPTOR)


@pytest.mark.parametrize(
    ("fields", "argument", "payload"),
    [
        (_CREATE_USER, "user.name=Alicia Gomez", '{"user": {"name": "Alicia Gomez"}}'),
        (_CREATE_USER, "user.name=a=b", '{"user": {"name": "a=b"}}'),
        (_CREATE_USER, "user.name=", '{"user": {"name": ""}}'),
        (_CREATE_USER, "user.name=true", '{"user": {"name": "true"}}'),
        (_CREATE_USER, "idempotency_key=007", '{"idempotency_key": "007"}'),
        (_UPDATE_USER, "updates.active=false", '{"updates": {"active": false}}'),
        (_CHARGE, "user_id=123", '{"user_id": "123"}'),
        (_CHARGE, "amount=25.50", '{"amount": 25.50}'),
        (_CHARGE, "amount=100000000000.01", '{"amount": 100000000000.01}'),
        (_CHARGE, "amount=-1", '{"amount": -1}'),
        (_CHARGE, "amount=1e2", '{"amount": 1e2}'),
        (_CHARGE, "currency=USD", '{"currency": "USD"}'),
        (_CHARGE, "metadata.order_id=6735", '{"metadata": {"order_id": "6735"}}'),
        (_CHARGE, "metadata.a.b=c=d", '{"metadata": {"a.b": "c=d"}}'),
        (
            _UPDATE_USER,
            "updates.metadata.tier=gold",
            '{"updates": {"metadata": {"tier": "gold"}}}',
        ),
        (_UPDATE_USER, "updates.metadata=", '{"updates": {"metadata": {}}}'),
        (_UPDATE_USER, "updates.metadata=null", '{"updates": {"metadata": {}}}'),
        (_CHARGE, "env=test", '{"env": "TEST"}'),
        (_CHARGE, "gateway=Stripe", '{"gateway": "stripe"}'),
        (_RECORDS, "page=2", '{"page": 2}'),
        (_RECORDS, "from_date=2024-03-01", '{"from_date": "2024-03-01"}'),
        (_RECORDS, "status=succeeded", '{"status": "succeeded"}'),
        (_RECURRING, "retry_days=1,3,7", '{"retry_days": [1, 3, 7]}'),
        (_RECURRING, "start_at=2024-03-01T08:00:00", '{"start_at": "2024-03-01T08:00:00"}'),
    ],
)
def test_a_value_gets_the_type_of_its_field(
    fields: tuple[Field, ...], argument: str, payload: str
) -> None:
    assert exact_json.write(build_payload([argument], fields)) == payload


@pytest.mark.parametrize(
    ("fields", "argument", "sentence"),
    [
        (_CHARGE, "amount=ten", "amount must be a number, such as 25.50"),
        (_CHARGE, "amount=", "amount must be a number"),
        (_CHARGE, "amount=025", "amount must be a number"),
        (_CHARGE, "amount=NaN", "amount must be a number"),
        (_RECURRING, "retry_days=1,x", "retry_days must be whole numbers, separated by commas"),
        (_CHARGE, "metadata=a", "metadata is an object of texts. Give metadata.KEY=… for each"),
        (_CHARGE, "env=PROD", "env must be one of TEST, LIVE"),
        (_CHARGE, "amuont=1", "There is no field amuont; did you mean `amount`? Fields: user_id"),
        (_CHARGE, "xyz=1", "There is no field xyz. Fields: user_id, amount, currency"),
        (_CHARGE, "api_key=1", "There is no field api_key"),
        (_CHARGE, "amount", "'amount' is not key=value"),
        (_RECORDS, "page=1.5", "page must be a whole number"),
        (_UPDATE_USER, "updates.active=yes", "updates.active must be true or false"),
        (_CREATE_USER, "name=A", "did you mean `user.name`?"),
        (_CREATE_USER, "user=A", "user is an object. Give user.name=…, user.email=…"),
        ({}, "a=1", "There is no field a: the action takes none"),
    ],
)
def test_a_wrong_argument_is_refused_with_the_right_form(
    fields: tuple[Field, ...], argument: str, sentence: str
) -> None:
    with pytest.raises(click.UsageError) as refused:
        build_payload([argument], fields)
    assert sentence in refused.value.message


def test_a_field_is_not_given_twice() -> None:
    with pytest.raises(click.UsageError, match="amount is given twice"):
        build_payload(["amount=1", "amount=2"], _CHARGE)
    with pytest.raises(click.UsageError, match=r"metadata\.a is given twice"):
        build_payload(["metadata.a=1", "metadata.a=2"], _CHARGE)


def test_several_values_make_one_object() -> None:
    built = build_payload(["user.name=A", "user.email=a@b.c", "user.currency=eur"], _CREATE_USER)
    assert built == {"user": {"name": "A", "email": "a@b.c", "currency": "eur"}}


def test_values_are_set_in_the_object_of_a_file(tmp_path: Path) -> None:
    file = tmp_path / "user.json"
    file.write_text('{"user": {"name": "A", "email": "a@b.c"}, "unknown": 1.10}')
    built = build_payload([f"@{file}", "user.name=B"], _CREATE_USER)
    assert exact_json.write(built) == ('{"user": {"name": "B", "email": "a@b.c"}, "unknown": 1.10}')
    file.write_text('{"metadata": {"order_id": "1", "b": "2"}}')
    built = build_payload([f"@{file}", "metadata.order_id=2"], _CHARGE)
    assert built == {"metadata": {"order_id": "2", "b": "2"}}


def test_a_payload_comes_from_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b'{"amount": 25.50}')))
    assert exact_json.write(build_payload(["-"], _CHARGE)) == '{"amount": 25.50}'


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("[1]", "is not a JSON object"),
        ("{", "is not JSON"),
        ('{"api_key": "s", "amount": 1}', "Leave api_key out"),
        ('{"user": 1}', "user is not an object"),
    ],
)
def test_a_file_that_is_not_a_payload_is_refused(
    tmp_path: Path, content: str, sentence: str
) -> None:
    file = tmp_path / "payload.json"
    file.write_text(content)
    with pytest.raises(click.UsageError) as refused:
        build_payload([f"@{file}", "user.name=A"], _CREATE_USER)
    assert sentence in refused.value.message


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(click.UsageError, match="No such file"):
        build_payload([f"@{tmp_path}/none.json"], _CREATE_USER)


def test_fields_are_described_as_in_json() -> None:
    described = {path: describe(field) for path, field in paths(_CHARGE).items()}
    assert described == {
        "user_id": "text",
        "amount": "number",
        "currency": "text",
        "description": "text",
        "env": "one of TEST, LIVE",
        "gateway": "one of stripe, authorize",
        "idempotency_key": "text",
        "capture": "true or false",
        "metadata": "texts by their keys",
    }
