"""JSON fields as request messages, and the problems of invalid ones."""

import json
from decimal import Decimal
from typing import Any

import pytest
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp
from google.type.money_pb2 import Money
from hypothesis import given
from hypothesis import strategies as st

from nivisco.payments.v1 import (
    cards_pb2,
    credentials_pb2,
    payments_pb2,
    recurring_pb2,
    types_pb2,
    users_pb2,
)
from tests.transcoding.sample_schema import sample, sample_class
from transcoding.actions import build_catalogue
from transcoding.field_problems import FieldProblems
from transcoding.parsing import MalformedValue, parse_object
from transcoding.requests import compile_reader
from transcoding.schema import SchemaError

CATALOGUE = build_catalogue()
SECRET = "sk_4111111111111111"


def read(action: str, fields: dict[str, object]) -> tuple[Message, dict[str, str]]:
    problems = FieldProblems()
    parsed = parse_object(json.dumps(fields).encode())
    message = CATALOGUE[action].read(parsed, "", problems)
    return message, {problem.field: problem.description for problem in problems.found}


def read_whole(action: str, **fields: object) -> Message:
    message, problems = read(action, fields)
    assert problems == {}
    return message


def problems_of(action: str, **fields: object) -> dict[str, str]:
    return read(action, fields)[1]


def test_every_kind_of_field_is_read() -> None:
    message = read_whole(
        "create_authorize_customer",
        user_id="USR-1",
        payment_profile={"card_number": "4111111111111111", "exp_month": 12, "exp_year": 2026},
        set_as_primary=False,
        env="LIVE",
    )
    profile = cards_pb2.CreateAuthorizeCustomerRequest.PaymentProfile
    assert message == cards_pb2.CreateAuthorizeCustomerRequest(
        user_id="USR-1",
        payment_profile=profile(card_number="4111111111111111", exp_month=12, exp_year=2026),
        set_as_primary=False,
        env=types_pb2.ENV_LIVE,
    )


def charge(**fields: object) -> payments_pb2.ChargeCustomerRequest:
    message, _ = read("charge_customer", fields)
    assert isinstance(message, payments_pb2.ChargeCustomerRequest)
    return message


def test_an_amount_is_read_with_its_currency() -> None:
    amount = Money(currency_code="EUR", units=10, nanos=50_000_000)
    assert charge(amount="10.05", currency="eur").amount == amount


def test_an_absent_currency_stays_absent() -> None:
    assert charge(amount=10).amount == Money(units=10)


def test_a_currency_without_its_amount_is_a_problem_of_the_amount() -> None:
    assert problems_of("update_recurring", recurring_id="REC-1", currency="usd") == {
        "amount": "is required beside `currency`"
    }


def test_a_currency_reaches_the_core_also_with_an_invalid_amount() -> None:
    assert charge(amount="x", currency="xyz").amount == Money(currency_code="XYZ")


def test_a_currency_without_money_is_a_string() -> None:
    message = read_whole("create_user", user={"name": "A", "currency": "eur"})
    assert isinstance(message, users_pb2.CreateUserRequest)
    assert message.user.currency == "eur"


def test_null_is_absent_everywhere() -> None:
    message = read_whole(
        "create_user", user={"name": None, "email": "a@b.c", "nope": None}, idempotency_key=None
    )
    user = users_pb2.CreateUserRequest.NewUser(email="a@b.c")
    assert message == users_pb2.CreateUserRequest(user=user)


@pytest.mark.parametrize(
    ("action", "fields", "mask"),
    [
        ("update_recurring", {"recurring_id": "REC-1", "end_at": None}, ["end_at"]),
        (
            "update_recurring",
            {
                "recurring_id": "REC-1",
                "max_cycles": None,
                "amount": 5,
                "currency": "usd",
                "status": "paused",
                "description": None,
                "idempotency_key": "k",
            },
            ["amount", "status", "description", "max_cycles"],
        ),
        (
            "modify_stripe_credentials",
            {"credentials": {"env": "TEST", "stripe_public_key": "pk_test_1", "account_id": None}},
            ["credentials.stripe_public_key", "credentials.account_id"],
        ),
        ("update_recurring", {"recurring_id": "REC-1", "description": ""}, []),
        ("update_recurring", {"recurring_id": "REC-1", "amount": None, "timezone": None}, []),
        ("update_user", {"user_id": "USR-1", "updates": {"name": None, "email": "a@b.c"}}, []),
        ("modify_authorize_credentials", {"credentials": None}, []),
        ("update_user", {"user_id": "USR-1", "updates": {"metadata": None}}, ["metadata"]),
        (
            "update_user",
            {"user_id": "USR-1", "updates": {"name": "A", "metadata": {}}},
            ["name", "metadata"],
        ),
        ("update_user", {"user_id": "USR-1", "updates": {"metadata": {"a": "b"}}}, []),
        ("update_recurring", {"recurring_id": "REC-1", "metadata": {}}, ["metadata"]),
    ],
)
def test_null_for_a_clearable_field_fills_the_update_mask(
    action: str, fields: dict[str, object], mask: list[str]
) -> None:
    assert list(read_whole(action, **fields).update_mask.paths) == mask  # type: ignore[attr-defined]


def test_the_update_mask_is_not_a_field_in_json() -> None:
    unknown = "is not a field of this request"
    mask = {"update_mask": {"paths": ["end_at"]}}
    assert problems_of("update_recurring", recurring_id="REC-1", **mask) == {"update_mask": unknown}


@pytest.mark.parametrize(
    ("action", "around"),
    [
        ("create_api_key", ()),
        ("change_api_key", ()),
        ("modify_business", ("updates",)),
        ("register_business", ("new_business",)),
        ("create_user", ("user",)),
        ("update_user", ("updates",)),
        ("charge_customer", ()),
    ],
)
@pytest.mark.parametrize(
    "name",
    ["key_id", "key_hash", "api_key_hash", "last4", "revoked_at", "last_used_at", "suspended_at",
     "created_at", "caller", "status", "default_env"],
)  # fmt: skip
def test_no_request_sets_what_only_the_core_writes(
    action: str, around: tuple[str, ...], name: str
) -> None:
    fields: dict[str, object] = {name: "x"}
    for outer in around:
        fields = {outer: fields}
    found = problems_of(action, **fields)
    assert found[".".join([*around, name])].startswith("is not a field of this request")


def test_the_mask_has_no_path_of_an_invalid_field() -> None:
    message, problems = read("update_recurring", {"max_cycles": "many", "end_at": None})
    assert list(message.update_mask.paths) == ["end_at"]  # type: ignore[attr-defined]
    assert problems == {"max_cycles": "must be a whole number"}


def test_a_map_has_any_keys() -> None:
    pairs = {"order_id": "6735", "user_id": "7", "a.b c": "ä", "currency": ""}
    assert dict(charge(metadata=pairs).metadata) == pairs


def test_a_map_that_is_given_twice_or_null_is_not_read() -> None:
    assert dict(charge(metadata=None).metadata) == {}
    problems = FieldProblems()
    body = b'{"metadata": {"a": "b", "a": "c"}}'
    CATALOGUE["charge_customer"].read(parse_object(body), "", problems)
    assert [(p.field, p.description) for p in problems.found] == [
        ("metadata.a", "is given more than once")
    ]


def test_an_empty_object_is_set() -> None:
    message = read_whole("create_user", user={})
    assert message.HasField("user")


def test_an_optional_empty_string_is_set() -> None:
    assert charge(description="").HasField("description")


def test_a_date_means_the_end_of_the_day_only_if_the_schema_says_so() -> None:
    message = read_whole("get_all_users", from_date="2024-03-01", to_date="2024-03-01")
    assert message == users_pb2.GetAllUsersRequest(
        from_date=Timestamp(seconds=1_709_251_200),
        to_date=Timestamp(seconds=1_709_337_599, nanos=999_999_000),
    )


def test_a_start_without_an_offset_stays_a_string() -> None:
    message = read_whole("create_recurring", start_at="2024-03-01T08:00:00")
    assert isinstance(message, recurring_pb2.CreateRecurringRequest)
    assert message.start_at == "2024-03-01T08:00:00"


@pytest.mark.parametrize(
    ("action", "fields", "field", "description"),
    [
        ("get_all_users", {"page": "1"}, "page", "must be a whole number"),
        ("get_all_users", {"page": True}, "page", "must be a whole number"),
        ("get_all_users", {"page": 1.5}, "page", "must be a whole number"),
        ("get_all_users", {"page": 1e-300}, "page", "must be a whole number"),
        (
            "get_all_users",
            {"page": 2**31},
            "page",
            "must be between -2147483648 and 2147483647",
        ),
        ("get_all_users", {"page": 1e300}, "page", "must be between -2147483648 and 2147483647"),
        ("get_user_info", {"user_id": 5}, "user_id", "must be a string"),
        ("get_user_info", {"user_id": []}, "user_id", "must be a string"),
        ("get_user_info", {"user_id": {}}, "user_id", "must be a string"),
        ("get_user_info", {"user_id": False}, "user_id", "must be a string"),
        (
            "get_user_info",
            {"user_id": "a\0b"},
            "user_id",
            "must not contain the NUL character",
        ),
        (
            "get_user_info",
            {"user_id": "a\ud800"},
            "user_id",
            "must not contain half of a surrogate pair",
        ),
        ("create_user", {"user": "A"}, "user", "must be an object"),
        ("create_user", {"user": []}, "user", "must be an object"),
        ("create_user", {"user": {"name": 5}}, "user.name", "must be a string"),
        ("get_user_wallet", {"env": "test"}, "env", "must be one of TEST, LIVE"),
        ("get_user_wallet", {"env": "UNSPECIFIED"}, "env", "must be one of TEST, LIVE"),
        ("get_user_wallet", {"env": 1}, "env", "must be one of TEST, LIVE"),
        ("get_user_wallet", {"env": ""}, "env", "must be one of TEST, LIVE"),
        (
            "create_recurring",
            {"interval_type": "decade"},
            "interval_type",
            "must be one of day, week, month, year",
        ),
        (
            "create_stripe_customer",
            {"set_as_primary": 1},
            "set_as_primary",
            "must be true or false",
        ),
        (
            "create_stripe_customer",
            {"set_as_primary": "true"},
            "set_as_primary",
            "must be true or false",
        ),
        ("charge_customer", {"amount": 0}, "amount", "must be greater than zero"),
        (
            "charge_customer",
            {"currency": "dollar"},
            "currency",
            "must be three letters such as `usd`",
        ),
        (
            "get_all_users",
            {"from_date": "soon"},
            "from_date",
            "must be an ISO 8601 date or date-time such as 2024-03-01 or 2024-03-01T08:00:00Z",
        ),
        ("get_user_info", {"nope": 1}, "nope", "is not a field of this request"),
        (
            "get_user_info",
            {"userid": 1},
            "userid",
            "is not a field of this request; did you mean `user_id`?",
        ),
        (
            "create_user",
            {"user": {"nmae": 1}},
            "user.nmae",
            "is not a field of this request; did you mean `name`?",
        ),
        ("charge_customer", {"metadata": "a"}, "metadata", "must be an object of strings"),
        ("charge_customer", {"metadata": ["a"]}, "metadata", "must be an object of strings"),
        ("charge_customer", {"metadata": {"a": 1}}, "metadata.a", "must be a string"),
        ("charge_customer", {"metadata": {"a": None}}, "metadata.a", "must be a string"),
        ("charge_customer", {"metadata": {"a": {}}}, "metadata.a", "must be a string"),
        (
            "charge_customer",
            {"metadata": {"a\0b": "c"}},
            "metadata.a?b",
            "must not contain the NUL character",
        ),
        (
            "create_user",
            {"user": {"metadata": {"x" * 65: 1}}},
            f"user.metadata.{'x' * 40}",
            "must be a string",
        ),
        ("get_user_info", {"": 1}, "", "is not a field of this request"),
        ("get_user_info", {"a\nb\ud800\u202e": 1}, "a?b??", "is not a field of this request"),
        ("get_user_info", {"x" * 65: 1}, "x" * 64, "is not a field of this request"),
    ],
)
def test_an_invalid_field_has_its_description(
    action: str, fields: dict[str, object], field: str, description: str
) -> None:
    assert read(action, fields)[1] == {field: description}


@pytest.mark.parametrize("number", ["25", "25.0", "2.5e1", "2500e-2"])
def test_an_integer_is_accepted_in_every_notation(number: str) -> None:
    problems = FieldProblems()
    fields: dict[str, object] = {"limit": Decimal(number)}
    message = CATALOGUE["get_all_users"].read(fields, "", problems)
    assert message == users_pb2.GetAllUsersRequest(limit=25)
    assert problems.found == []


@pytest.mark.parametrize("number", ["0e999999", "-0", "1e-999999", "1e999999"])
def test_a_number_of_extreme_size_is_rejected_quickly(number: str) -> None:
    problems = FieldProblems()
    CATALOGUE["get_all_users"].read({"limit": Decimal(number)}, "", problems)
    assert len(problems.found) == (0 if Decimal(number) == 0 else 1)


@pytest.mark.parametrize("field", ["user_id", "amount", "currency", "env", "description"])
def test_a_malformed_value_keeps_its_description(field: str) -> None:
    problems = FieldProblems()
    CATALOGUE["charge_customer"].read({field: MalformedValue("is ill")}, "", problems)
    assert [(p.field, p.description) for p in problems.found] == [(field, "is ill")]


def test_an_invalid_field_is_left_out_and_the_others_are_read() -> None:
    assert charge(user_id="USR-1", description=5) == payments_pb2.ChargeCustomerRequest(
        user_id="USR-1"
    )


def test_at_most_twenty_problems_are_collected() -> None:
    assert len(problems_of("create_user", **{f"field{n}": 1 for n in range(1000)})) == 20


def test_no_value_is_in_a_problem() -> None:
    fields: dict[str, Any] = {
        "credentials": {
            "env": SECRET,
            "stripe_secret_key": [SECRET],
            "account_id": {SECRET: SECRET},
        },
        "idempotency_key": {"a": SECRET},
    }
    message, problems = read("add_stripe_credentials", fields)
    assert isinstance(message, credentials_pb2.AddStripeCredentialsRequest)
    assert len(problems) == 4
    assert SECRET not in repr(problems)


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=True)
    | st.text(max_size=8)
    | st.sampled_from(["TEST", "usd", "2024-01-01", "9" * 13, "\ud800", "\0"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(max_size=4) | st.sampled_from(["name", "env"]), inner, max_size=4)
    ),
    max_leaves=8,
)
names = sorted({f.name for a in CATALOGUE.values() for f in a.method.input_type.fields})


@given(
    st.sampled_from(sorted(CATALOGUE)),
    st.dictionaries(st.sampled_from(names) | st.text(max_size=8), json_values, max_size=8),
)
def test_any_json_becomes_a_message_and_printable_problems(
    action: str, fields: dict[str, object]
) -> None:
    message, problems = read(action, fields)
    message.SerializeToString()
    assert len(problems) <= 20
    assert all(field.isprintable() for field in problems)


def test_a_list_has_a_problem_for_each_invalid_item() -> None:
    read_order = compile_reader(sample("Order"))
    problems = FieldProblems()
    fields: dict[str, object] = {
        "tags": ["a", Decimal(5), None],
        "counts": [Decimal(1), "x"],
        "items": [{"price": "1.5", "currency": "eur"}, {"nope": "x"}, "x"],
        "times": ["2024-03-01"],
        "big": Decimal(2**63 - 1),
        "positive": Decimal(-1),
    }
    message = read_order(fields, "", problems)
    item = sample_class("Item")(price=Money(currency_code="EUR", units=1, nanos=500_000_000))
    assert message == sample_class("Order")(
        tags=["a"],
        counts=[1],
        items=[item, sample_class("Item")()],
        times=[Timestamp(seconds=1_709_251_200)],
        big=2**63 - 1,
    )
    assert [problem.field for problem in problems.found] == [
        "tags[1]",
        "tags[2]",
        "counts[1]",
        "items[1].nope",
        "items[2]",
        "positive",
    ]


def test_a_value_that_is_not_a_list_is_rejected() -> None:
    problems = FieldProblems()
    compile_reader(sample("Order"))({"tags": "a"}, "", problems)
    assert [problem.description for problem in problems.found] == ["must be a list"]


def test_amounts_of_one_message_share_the_currency() -> None:
    problems = FieldProblems()
    fields: dict[str, object] = {"price": "1", "fee": "2", "currency": "usd"}
    message = compile_reader(sample("TwoAmounts"))(fields, "", problems)
    assert message == sample_class("TwoAmounts")(
        price=Money(currency_code="USD", units=1), fee=Money(currency_code="USD", units=2)
    )


@pytest.mark.parametrize(
    "name",
    [
        "TakesCurrency",
        "RepeatsMoney",
        "ContainsItself",
        "HasBytes",
        "HasFloat",
        "HasChoice",
        "HasUnknownWords",
        "HasNumbersByName",
    ],
)
def test_a_request_without_a_json_form_is_a_schema_error(name: str) -> None:
    with pytest.raises(SchemaError):
        compile_reader(sample(name))
