"""Response messages as JSON text."""

import json
from decimal import Decimal
from typing import Any

import pytest
from google.protobuf import message_factory
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp
from google.type.money_pb2 import Money
from hypothesis import given
from hypothesis import strategies as st

from nivisco.payments.v1 import (
    cards_pb2,
    payments_pb2,
    recurring_pb2,
    types_pb2,
    users_pb2,
    wallet_pb2,
)
from tests.transcoding.sample_schema import sample, sample_class
from transcoding.actions import build_catalogue
from transcoding.money import read_amount
from transcoding.responses import compile_response_writer
from transcoding.schema import SchemaError

CATALOGUE = build_catalogue()


def write(action: str, message: Message) -> str:
    return CATALOGUE[action].write(message)


def test_a_charge_is_written_as_in_the_reference() -> None:
    message = payments_pb2.ChargeCustomerResponse(
        transaction_id="pi_123",
        amount=Money(currency_code="USD", units=25, nanos=500_000_000),
        status=payments_pb2.PAYMENT_STATUS_SUCCEEDED,
        payment_id="PAY-1",
        env=types_pb2.ENV_TEST,
        gateway=types_pb2.GATEWAY_STRIPE,
    )
    assert write("charge_customer", message) == (
        '{"success":true,"transaction_id":"pi_123","amount":25.5,"currency":"usd",'
        '"status":"succeeded","payment_id":"PAY-1","env":"TEST","gateway":"stripe"}'
    )


def test_a_balance_has_its_currency_beside_it() -> None:
    wallet = wallet_pb2.Wallet(
        wallet_id="WAL-1",
        user_id="USR-1",
        balance=Money(currency_code="EUR"),
        updated_at=Timestamp(seconds=1_708_438_800, nanos=999_999_999),
    )
    written = write("get_user_wallet", wallet_pb2.GetUserWalletResponse(wallet=wallet))
    assert written.startswith(
        '{"success":true,"wallet":{"wallet_id":"WAL-1","user_id":"USR-1","balance":0,'
        '"currency":"eur","updated_at":"2024-02-20 14:20:00"'
    )


def test_unset_fields_are_null() -> None:
    job = recurring_pb2.RecurringJob(recurring_id="REC-1")
    text = write("list_recurring", recurring_pb2.ListRecurringResponse(count=1, recurring=[job]))
    [written] = json.loads(text)["recurring"]
    unset = {name for name, value in written.items() if value is None}
    assert unset == {
        "amount",
        "currency",
        "interval_type",
        "status",
        "next_run",
        "last_run",
        "description",
        "source",
        "end_at",
        "max_cycles",
        "catch_up",
        "env",
        "created_at",
        "updated_at",
        "start_at",
        "paused_reason",
        "paused_at",
    }


def test_an_optional_empty_string_is_written() -> None:
    payment = payments_pb2.Payment(description="")
    text = write("get_payment_records", payments_pb2.GetPaymentRecordsResponse(payments=[payment]))
    assert json.loads(text)["payments"][0]["description"] == ""


def test_an_unset_object_is_null() -> None:
    assert write("get_user_info", users_pb2.GetUserInfoResponse()) == '{"success":true,"user":null}'


def test_an_empty_list_is_a_list() -> None:
    assert (
        write("get_user_cards", cards_pb2.GetUserCardsResponse()) == '{"success":true,"cards":[]}'
    )


def test_a_map_is_an_object_in_the_order_of_its_keys() -> None:
    pairs = {"b": 'say "é"', "a.1": "", "a b": "x"}
    user = users_pb2.User(metadata=pairs)
    written = write("get_user_info", users_pb2.GetUserInfoResponse(user=user))
    assert written.endswith('"metadata":{"a b":"x","a.1":"","b":"say \\"\\u00e9\\""}}}')
    assert json.loads(written)["user"]["metadata"] == pairs
    empty = users_pb2.GetUserInfoResponse(user=users_pb2.User())
    assert json.loads(write("get_user_info", empty))["user"]["metadata"] == {}


def test_a_list_of_times_is_a_list_of_texts() -> None:
    upcoming = [Timestamp(seconds=0), Timestamp(seconds=60)]
    text = write("create_recurring", recurring_pb2.CreateRecurringResponse(upcoming=upcoming))
    assert json.loads(text)["upcoming"] == ["1970-01-01 00:00:00", "1970-01-01 00:01:00"]


def test_false_and_zero_are_written() -> None:
    card = cards_pb2.Card(gateway=types_pb2.GATEWAY_STRIPE, env=types_pb2.ENV_TEST)
    text = write("get_user_primary_card", cards_pb2.GetUserPrimaryCardResponse(card=card))
    assert json.loads(text)["card"] == {
        "gateway": "stripe",
        "brand": "",
        "last4": "",
        "exp_month": 0,
        "exp_year": 0,
        "card_id": "",
        "primary": False,
        "env": "TEST",
        "user_id": "",
        "created_at": None,
    }


def test_an_unknown_enum_value_is_null() -> None:
    message = payments_pb2.ChargeCustomerResponse()
    message.MergeFromString(b"\x18\x63")  # field 3, status, is 99
    assert json.loads(write("charge_customer", message))["status"] is None


@given(st.text(alphabet=st.characters(exclude_categories=["Cs"])))
def test_any_text_round_trips(text: str) -> None:
    message = users_pb2.UpdateUserResponse(message=text, updated_fields=[text])
    written = write("update_user", message)
    assert written.isascii()
    assert json.loads(written)["message"] == text
    assert json.loads(written)["updated_fields"] == [text]


@given(st.decimals("0.000000001", "999999999999.999999999", places=9))
def test_an_amount_round_trips(amount: Decimal) -> None:
    units, nanos = read_amount(format(amount, "f"))
    message = payments_pb2.ChargeCustomerResponse(amount=Money(units=units, nanos=nanos))
    written = json.loads(write("charge_customer", message), parse_float=Decimal, parse_int=Decimal)
    assert written["amount"] == amount


def test_an_integer_beyond_a_float_is_exact() -> None:
    order = sample_class("Order")(big=2**63 - 1)
    assert f'"big":{2**63 - 1}' in compile_response_writer(sample("Order"))(order)


def test_the_currency_follows_the_first_amount_whichever_is_set() -> None:
    message = sample_class("TwoAmounts")(fee=Money(currency_code="USD", units=1))
    assert compile_response_writer(sample("TwoAmounts"))(message) == (
        '{"success":true,"price":null,"currency":"usd","fee":1,"note":""}'
    )


def test_amounts_in_two_currencies_are_an_error() -> None:
    message = sample_class("TwoAmounts")(
        price=Money(currency_code="USD"), fee=Money(currency_code="EUR")
    )
    with pytest.raises(ValueError, match="mixes currencies"):
        compile_response_writer(sample("TwoAmounts"))(message)


@pytest.mark.parametrize(
    "name",
    [
        "TakesCurrency",
        "TakesSuccess",
        "RepeatsMoney",
        "ContainsItself",
        "HasBytes",
        "HasFloat",
        "HasChoice",
        "HasUnknownWords",
        "HasNumbersByName",
    ],
)
def test_a_response_without_a_json_form_is_a_schema_error(name: str) -> None:
    with pytest.raises(SchemaError):
        compile_response_writer(sample(name))


@pytest.mark.parametrize("action", sorted(CATALOGUE))
def test_an_empty_response_has_every_field(action: str) -> None:
    response = CATALOGUE[action].method.output_type
    message = message_factory.GetMessageClass(response)()
    written: dict[str, Any] = json.loads(write(action, message))
    assert written.pop("success") is True
    written.pop("currency", None)
    assert list(written) == [field.name for field in response.fields]
