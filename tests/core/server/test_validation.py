"""Validation refuses the same fields as protovalidate, and those of its own rules."""

import base64
import itertools
from collections.abc import Callable
from typing import Any, cast
from urllib.parse import quote

import protovalidate
import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, duration_pb2, message_factory
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp
from google.type.money_pb2 import Money
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from buf.validate import validate_pb2
from core.errors import InvalidFields, status_of
from core.server import validation
from core.server.validation import (
    UnknownRule,
    compile_all,
    problems,
    request_types,
)
from nivisco.internal.v1 import occurrences_pb2, webhooks_pb2
from nivisco.payments.v1 import business_pb2, cards_pb2, payments_pb2, users_pb2, wallet_pb2
from rpc.catalogue import PATTERN_DESCRIPTIONS
from rpc.error_details import MAX_FIELD_PROBLEMS, printable_key
from rpc.update_mask import UPDATE_MASK
from transcoding.schema import is_map

ORACLE: Any = protovalidate.Validator()  # type: ignore[no-untyped-call]
Lease = occurrences_pb2.OccurrenceLease
NewBusiness = business_pb2.RegisterBusinessRequest.NewBusiness
Profile = cards_pb2.CreateAuthorizeCustomerRequest.PaymentProfile
Updates = users_pb2.UpdateUserRequest.Updates
USD = Money(currency_code="USD", units=25, nanos=500_000_000)


def charge(**changes: Any) -> payments_pb2.ChargeCustomerRequest:
    return payments_pb2.ChargeCustomerRequest(**{"user_id": "USR-1", "amount": USD, **changes})


def paths(message: Message) -> set[str]:
    return {problem.field for problem in problems(message)}


def oracle_paths(message: Message) -> set[str]:
    return {
        "".join(
            f".{element.field_name}"
            + (f"[{element.index}]" if element.HasField("index") else "")
            + (f".{printable_key(element.string_key)}" if element.HasField("string_key") else "")
            for element in violation.proto.field.elements
        ).removeprefix(".")
        or one_of_path(message)
        for violation in ORACLE.collect_violations(message)
    }


def one_of_path(message: Message) -> str:
    """Return the field that we name for protovalidate's problem of a whole request."""
    (rule,) = message.DESCRIPTOR.GetOptions().Extensions[validate_pb2.message].oneof
    given = [name for name in rule.fields if message.HasField(name)]
    return given[1] if given else str(rule.fields[0])


def leaves(message: Message, prefix: str = "") -> dict[str, tuple[FieldDescriptor, Any]]:
    """Return every scalar and well-known value of a message by its path, to explain differences."""
    found: dict[str, tuple[FieldDescriptor, Any]] = {}
    for field in cast("Descriptor", message.DESCRIPTOR).fields:
        value, path = getattr(message, field.name), prefix + field.name
        if field.message_type is None or field.message_type.full_name.startswith("google."):
            found[path] = (field, value)
            if field.message_type is not None:
                found[f"{path}.currency_code"] = (field, value)
        elif is_map(field):
            found |= {f"{path}.{printable_key(key)}": (field, each) for key, each in value.items()}
        elif field.is_repeated:
            for index, item in enumerate(value):
                found |= leaves(item, f"{path}[{index}].")
        elif message.HasField(field.name):
            found |= leaves(value, f"{path}.")
    return found


def is_stricter_on_purpose(field: FieldDescriptor, value: Any) -> bool:
    rules = field.GetOptions().Extensions[validate_pb2.field]
    if field.message_type is not None and not is_map(field):
        return field.message_type.full_name == "google.type.Money"
    if not isinstance(value, str):
        return False
    only_unicode_spaces = rules.string.pattern == r"\S" and not value.strip()
    return rules.string.email or "\0" in value or only_unicode_spaces


# --- Random messages -------------------------------------------------------------------------

ODD_TEXTS = [
    "", " ", "\n", "\t ", "\u00a0", "\u2003\u3000", "\x1c", "a\n", "USR-1\n", "USR 1", "\0", "a\0b",
    "é", "😀", "x" * 64, "x" * 65, "é" * 200, "é" * 201, "😀" * 501, "1" * 12, "1" * 20, "٣" * 12,
    "usd", "USDX", "pm_a", "tok_", "sk_test_1\n", "example.com", "-a.com", "a..b",
    f"{'a' * 64}.com", "jane@example.com", "jane@", "jörg@example.com", "a@b", "@",
    "America/Chicago", "a" * 254,
]  # fmt: skip


def texts(rules: validate_pb2.StringRules) -> st.SearchStrategy[str]:
    some = st.sampled_from(ODD_TEXTS) | st.text(max_size=70)
    if rules.pattern:
        some |= st.from_regex(rules.pattern) | st.from_regex(rules.pattern, fullmatch=True)
    if rules.email:
        some |= st.emails()
    return some


def integers(field: FieldDescriptor, rules: Any) -> st.SearchStrategy[int]:
    bits = 31 if field.type == FieldDescriptor.TYPE_INT32 else 63
    edges = {rules.gte - 1, rules.gte, rules.lte, rules.lte + 1, 0, 2**bits - 1, -(2**bits)}
    return st.sampled_from(sorted(edges)) | st.integers(-(2**bits), 2**bits - 1)


def moneys() -> st.SearchStrategy[Message]:
    return st.builds(
        Money,
        currency_code=st.sampled_from(["", "usd", "JPY", "bhd", "XAU", "us", "\0"]),
        units=st.sampled_from([0, 1, -1, 10**12 - 1, 10**12]) | st.integers(0, 10**6),
        nanos=st.sampled_from([0, 1, 10_000_000, -10_000_000, 10**9]) | st.integers(0, 10**9),
    )


def values(field: FieldDescriptor) -> st.SearchStrategy[Any]:
    rules = field.GetOptions().Extensions[validate_pb2.field]
    if is_map(field):
        of = rules.map
        return st.dictionaries(texts(of.keys.string), texts(of.values.string), max_size=3)
    if field.message_type is not None:
        return messages(field.message_type)
    match field.type:
        case FieldDescriptor.TYPE_STRING:
            return texts(rules.string)
        case FieldDescriptor.TYPE_INT32 | FieldDescriptor.TYPE_INT64:
            kind = rules.WhichOneof("type") or "int32"
            return integers(field, getattr(rules, kind))
        case FieldDescriptor.TYPE_ENUM:
            return st.integers(-1, 5) | st.sampled_from([99, -(2**31), 2**31 - 1])
        case FieldDescriptor.TYPE_BOOL:
            return st.booleans()
        case FieldDescriptor.TYPE_BYTES:
            return st.binary(max_size=3)
    raise AssertionError(field.full_name)


def messages(message: Descriptor) -> st.SearchStrategy[Message]:
    match message.full_name:
        case "google.type.Money":
            return moneys()
        case "google.protobuf.Timestamp":
            seconds = st.integers(-62_135_596_800, 253_402_300_799)
            return st.builds(Timestamp, seconds=seconds, nanos=st.integers(0, 999_999_999))
        case "google.protobuf.Duration":
            return st.builds(duration_pb2.Duration, seconds=st.integers(-(10**6), 10**6))
    fields = {
        field.name: st.lists(values(field), max_size=3)
        if field.is_repeated and not is_map(field)
        else values(field)
        for field in message.fields
        if field.name != UPDATE_MASK  # checked by core.update_mask, not by rules of the schema
    }
    made: Callable[..., Message] = message_factory.GetMessageClass(message)
    return st.fixed_dictionaries({}, optional=fields).map(lambda given: made(**given))


def some_request() -> st.SearchStrategy[Message]:
    return st.sampled_from(request_types()).flatmap(messages)


@settings(
    max_examples=400,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
@given(some_request())
def test_the_fields_refused_are_those_that_protovalidate_refuses(request_: Message) -> None:
    ours, theirs = paths(request_), oracle_paths(request_)
    if len(problems(request_)) == MAX_FIELD_PROBLEMS:
        return
    given = leaves(request_)
    unexplained = {path for path in ours ^ theirs if not is_stricter_on_purpose(*given[path])}
    assert not unexplained, f"ours {ours}, protovalidate's {theirs}"


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(some_request())
def test_a_field_has_one_problem_which_never_echoes_its_value(request_: Message) -> None:
    found = problems(request_)
    given = leaves(request_)
    assert len(found) == len({problem.field for problem in found})
    for problem in found:
        _, value = given.get(problem.field, (None, None))
        if isinstance(value, str) and len(value) > 20:
            assert value not in problem.description


# --- Descriptions ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("message", "path", "description"),
    [
        (charge(user_id=""), "user_id", "is required"),
        (
            charge(user_id="USR 1"),
            "user_id",
            "must be 1 to 64 printable characters without spaces",
        ),
        (
            charge(user_id="USR-1\n"),
            "user_id",
            "must be 1 to 64 printable characters without spaces",
        ),
        (charge(description="x" * 501), "description", "must have at most 500 characters"),
        (charge(description="a\0b"), "description", "must not contain the NUL character"),
        (
            charge(metadata={str(n): "x" for n in range(21)}),
            "metadata",
            "must have at most 20 pairs",
        ),
        (
            charge(metadata={str(n): "\N{PILE OF POO}" * 500 for n in range(17)}),
            "metadata",
            "must have at most 32,768 bytes",
        ),
        (
            charge(metadata={"a[b]": "x"}),
            "metadata.a[b]",
            "the key must be 1 to 40 printable characters without [, ] and backslashes",
        ),
        (
            charge(metadata={"k" * 70: "x"}),
            f"metadata.{'k' * 40}",
            "the key must be 1 to 40 printable characters without [, ] and backslashes",
        ),
        (
            charge(metadata={"\n": "x"}),
            "metadata.?",
            "the key must be 1 to 40 printable characters without [, ] and backslashes",
        ),
        (charge(metadata={"a": ""}), "metadata.a", "must have at least 1 character"),
        (charge(metadata={"a": "x" * 501}), "metadata.a", "must have at most 500 characters"),
        (charge(metadata={"a": "\0"}), "metadata.a", "must not contain the NUL character"),
        (
            payments_pb2.GetPaymentRecordsRequest(metadata={"a": "b", "c": "d"}),
            "metadata",
            "must have at most 1 pair",
        ),
        (charge(env=3), "env", "must be one of TEST, LIVE"),
        (charge(gateway=7), "gateway", "must be one of stripe, authorize"),
        (
            charge(idempotency_key=""),
            "idempotency_key",
            "must be 1 to 64 printable characters",
        ),
        (charge(amount=None), "amount", "is required"),
        (charge(amount=Money()), "amount", "must be greater than zero"),
        (charge(amount=Money(units=-1)), "amount", "must not be negative"),
        (
            charge(amount=Money(currency_code="JPY", units=1, nanos=500_000_000)),
            "amount",
            "has more decimals than jpy allows (0)",
        ),
        (
            charge(amount=Money(currency_code="dollars", units=1)),
            "amount.currency_code",
            "is not an ISO 4217 currency, for example usd",
        ),
        (
            payments_pb2.GetPaymentRecordsRequest(limit=101),
            "limit",
            "must be between 1 and 100",
        ),
        (
            payments_pb2.GetPaymentRecordsRequest(limit=0),
            "limit",
            "must be between 1 and 100",
        ),
        (
            wallet_pb2.HoldWalletRequest(expires_in_seconds=0),
            "expires_in_seconds",
            "must be between 1 and 2678400",
        ),
        (wallet_pb2.HoldWalletRequest(), "expires_in_seconds", "is required"),
        (
            payments_pb2.GetPaymentRecordsRequest(from_date=Timestamp(seconds=10**12)),
            "from_date",
            "must be a time between the years 1 and 9999",
        ),
        (
            payments_pb2.GetPaymentRecordsRequest(to_date=Timestamp(nanos=-1)),
            "to_date",
            "must be a time between the years 1 and 9999",
        ),
        (
            occurrences_pb2.ClaimDueOccurrencesRequest(
                owner="a", limit=1, lease_duration=duration_pb2.Duration(seconds=1, nanos=-1)
            ),
            "lease_duration",
            "must be a length of time of at most 10000 years",
        ),
        (webhooks_pb2.ReceiveWebhookRequest(), "body", "is required"),
        (
            users_pb2.UpdateUserRequest(user_id="a", updates=Updates(email="jane@")),
            "updates.email",
            "must be an e-mail address",
        ),
        (
            users_pb2.UpdateUserRequest(user_id="a", updates=Updates(name="\u00a0\u3000")),
            "updates.name",
            "must have at least one character that is not a space",
        ),
        (
            business_pb2.RegisterBusinessRequest(new_business=NewBusiness(domain="example..com")),
            "new_business.domain",
            "must be a domain name, for example example.com",
        ),
        (
            cards_pb2.CreateAuthorizeCustomerRequest(payment_profile=Profile(card_number="4242")),
            "payment_profile.card_number",
            "must be 12 to 19 digits",
        ),
        (
            occurrences_pb2.RenewLeasesRequest(leases=[Lease(), Lease(fencing_token=-1)]),
            "leases[1].fencing_token",
            "must be at least 1",
        ),
    ],
)
def test_a_description_says_what_is_accepted(message: Message, path: str, description: str) -> None:
    described = {problem.field: problem.description for problem in problems(message)}
    assert described[path] == description


def test_a_valid_request_has_no_problem() -> None:
    assert problems(charge(description="Order 17", env=1, gateway=1, idempotency_key="k")) == []


def test_absent_optional_fields_break_no_rule() -> None:
    assert problems(payments_pb2.GetPaymentRecordsRequest()) == []


def test_an_unknown_currency_and_a_wrong_amount_are_two_problems() -> None:
    assert paths(charge(amount=Money(currency_code="xx", units=-1))) == {
        "amount",
        "amount.currency_code",
    }


def test_a_thousand_problems_are_reported_as_twenty() -> None:
    request = occurrences_pb2.RenewLeasesRequest(leases=[Lease()] * 1000)
    assert len(problems(request)) == MAX_FIELD_PROBLEMS == 20


def rules_of(message: Descriptor) -> list[validate_pb2.FieldRules]:
    rules = []
    for field in message.fields:
        of_field = field.GetOptions().Extensions[validate_pb2.field]
        rules += [of_field, of_field.map.keys, of_field.map.values]
        if field.message_type is not None:
            rules += rules_of(field.message_type)
    return rules


def test_every_pattern_of_the_schema_has_a_description_and_every_description_a_pattern() -> None:
    used = {rules.string.pattern for request in request_types() for rules in rules_of(request)}
    assert used - {""} == set(PATTERN_DESCRIPTIONS)


# --- Compilation -----------------------------------------------------------------------------

numbers = itertools.count(1)


def message_with(
    rules: validate_pb2.FieldRules | None = None,
    kind: "descriptor_pb2.FieldDescriptorProto.Type.ValueType" = (
        descriptor_pb2.FieldDescriptorProto.TYPE_STRING
    ),
    *,
    repeated: bool = False,
    message_rules: validate_pb2.MessageRules | None = None,
    oneof_rules: validate_pb2.OneofRules | None = None,
) -> Descriptor:
    """Return a message type with one field, `thing`, that has the rules."""
    package = f"made{next(numbers)}"
    file = descriptor_pb2.FileDescriptorProto(name=f"{package}.proto", package=package)
    file.syntax = "proto3"
    message = file.message_type.add(name="Made")
    field = message.field.add(name="thing", number=1, type=kind)
    field.label = field.LABEL_REPEATED if repeated else field.LABEL_OPTIONAL
    if kind == field.TYPE_MESSAGE:
        field.type_name = f".{package}.Made"
    if rules is not None:
        field.options.Extensions[validate_pb2.field].CopyFrom(rules)
    if message_rules is not None:
        message.options.Extensions[validate_pb2.message].CopyFrom(message_rules)
    if oneof_rules is not None:
        message.oneof_decl.add(name="either").options.Extensions[validate_pb2.oneof].CopyFrom(
            oneof_rules
        )
        field.oneof_index = 0
    pool = descriptor_pool.DescriptorPool()
    return pool.AddSerializedFile(file.SerializeToString()).message_types_by_name["Made"]


FieldRules, StringRules = validate_pb2.FieldRules, validate_pb2.StringRules
MessageRules, OneofRule = validate_pb2.MessageRules, validate_pb2.MessageOneofRule
INT32 = descriptor_pb2.FieldDescriptorProto.TYPE_INT32
MESSAGE = descriptor_pb2.FieldDescriptorProto.TYPE_MESSAGE


@pytest.mark.parametrize(
    ("message", "named"),
    [
        (message_with(FieldRules(string=StringRules(uuid=True))), "string.uuid|StringRules.uuid"),
        (message_with(FieldRules(string=StringRules(prefix="a"))), "prefix"),
        (message_with(FieldRules(string=StringRules(pattern=r"\d"))), r"\\d"),
        (message_with(FieldRules(string=StringRules(pattern="(?i)a"))), "pattern"),
        (message_with(FieldRules(string=StringRules(pattern="("))), "pattern"),
        (message_with(FieldRules(ignore=validate_pb2.IGNORE_ALWAYS)), "ignore"),
        (message_with(FieldRules(cel=[validate_pb2.Rule(expression="true")])), "cel"),
        (message_with(FieldRules.FromString(b"\xf2\xff\x01\x01a")), "does not know"),
        (
            message_with(FieldRules(string=StringRules.FromString(b"\xf2\xff\x01\x01a"))),
            "does not know",
        ),
        (message_with(FieldRules(int32=validate_pb2.Int32Rules(gte=1))), "another type"),
        (message_with(FieldRules(int32=validate_pb2.Int32Rules(gt=1)), INT32), "Int32Rules.gt"),
        (
            message_with(FieldRules(int32=validate_pb2.Int32Rules(gte=2, lte=1)), INT32),
            "holds nothing",
        ),
        (message_with(FieldRules(double=validate_pb2.DoubleRules(gte=1))), "double"),
        (message_with(repeated=True), "repeated"),
        (message_with(kind=MESSAGE), "contains itself"),
        (message_with(message_rules=MessageRules(cel_expression=["true"])), "MessageRules.cel_exp"),
        (message_with(message_rules=MessageRules(oneof=[OneofRule(fields=["a"])])), "presence"),
        (message_with(oneof_rules=validate_pb2.OneofRules(required=True)), "oneofs"),
    ],
)
def test_an_unsupported_rule_is_refused_by_its_field(message: Descriptor, named: str) -> None:
    request = message_factory.GetMessageClass(message)()
    with pytest.raises(UnknownRule, match=rf"^made\d+\.Made.*({named})"):
        problems(request)


def test_the_problems_of_the_longest_keys_fit_in_the_metadata_of_an_answer() -> None:
    """gRPC may answer RESOURCE_EXHAUSTED instead from 8 KiB on."""
    pairs = {"\U0001f600" * 62 + f"{number:02}": "a" for number in range(MAX_FIELD_PROBLEMS)}
    status = status_of(InvalidFields(problems(charge(metadata=pairs))))
    trailers = base64.b64encode(status.SerializeToString()).decode() + quote(status.message)
    assert len(trailers) < 7 * 1024


def test_every_rule_of_the_schema_compiles() -> None:
    compile_all()


def test_an_unsupported_rule_stops_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    unknown = message_with(FieldRules(string=StringRules(uuid=True)))
    monkeypatch.setattr(validation, "request_types", lambda: [unknown])
    with pytest.raises(UnknownRule, match=r"Made\.thing"):
        compile_all()


def test_every_request_type_is_found() -> None:
    names = {request.name for request in request_types()}
    assert {"ChargeCustomerRequest", "CreateRecurringRequest", "RenewLeasesRequest"} <= names
    assert len(names) == len(request_types()) >= 38


def test_dollar_is_the_end_of_the_text_and_may_be_in_a_class() -> None:
    message = message_with(FieldRules(string=StringRules(pattern=r"^[$\]]\$$")))
    made: Callable[..., Message] = message_factory.GetMessageClass(message)
    assert problems(made(thing="$$")) == []
    assert problems(made(thing="]$")) == []
    assert problems(made(thing="$$\n"))[0].description == validation.MALFORMED
