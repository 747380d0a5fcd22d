"""Strict parsing of request bodies."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transcoding.envelope import (
    CredentialsMalformed,
    CredentialsMissing,
    Envelope,
    read_envelope,
)
from transcoding.parsing import (
    MAX_DEPTH,
    InvalidJson,
    MalformedValue,
    parse_object,
)


def ill(body: bytes, name: str = "a") -> str:
    value = parse_object(body)[name]
    assert isinstance(value, MalformedValue)
    return value.description


def nested(depth: int) -> bytes:
    return b'{"a":' + b"[" * (depth - 1) + b"]" * (depth - 1) + b"}"


def test_numbers_are_exact() -> None:
    assert parse_object(b'{"a":25.50,"b":0.1e1,"c":-7}') == {
        "a": Decimal("25.50"),
        "b": Decimal("1"),
        "c": Decimal("-7"),
    }


@pytest.mark.parametrize("literal", [b"NaN", b"Infinity", b"-Infinity"])
def test_nan_and_infinity_are_malformed_values(literal: bytes) -> None:
    assert ill(b'{"a":' + literal + b"}") == "must not be NaN or infinite"


def test_an_extreme_exponent_is_a_malformed_value() -> None:
    assert ill(b'{"a":1e99999999999999999999999}') == "is a number that is out of range"


@pytest.mark.parametrize(
    "body",
    [b'{"a":1,"a":2}', b'{"a":1,"b":1,"a":1}', b'{"a":null,"a":null}', b'{"a":1,"\\u0061":1}'],
)
def test_a_duplicate_field_is_a_malformed_value(body: bytes) -> None:
    assert ill(body) == "is given more than once"


def test_a_duplicate_nested_field_is_a_malformed_value_in_its_place() -> None:
    inner = parse_object(b'{"a":{"b":1,"b":2,"c":3}}')["a"]
    assert isinstance(inner, dict)
    assert isinstance(inner["b"], MalformedValue)
    assert inner["c"] == 3


def test_a_byte_order_mark_is_skipped() -> None:
    assert parse_object(b"\xef\xbb\xbf{}") == {}


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b" ",
        b"[]",
        b"1",
        b'"a"',
        b"{",
        b'{"a":1,}',
        b"{a:1}",
        b"{'a':1}",
        b'{"a":01}',
        b'{"a":.5}',
        b'{"a":+1}',
        b'{"a":0x1}',
        b'{"a":nan}',
        b'{"a":"\n"}',
        b'{"a":"\\x"}',
        b"{}{}",
        b"{} // c",
        b'{"a":"\xff"}',
        b'{"a":"\xed\xa0\x80"}',
        '{"a":1}'.encode("utf-16"),
        b"\x00",
    ],
)
def test_a_body_that_is_not_a_json_object_in_utf_8_is_rejected(body: bytes) -> None:
    with pytest.raises(InvalidJson):
        parse_object(body)


def test_the_deepest_nesting_that_is_allowed_is_read() -> None:
    assert "a" in parse_object(nested(MAX_DEPTH))


def test_deeper_nesting_is_rejected() -> None:
    with pytest.raises(InvalidJson):
        parse_object(nested(MAX_DEPTH + 1))


def test_brackets_in_strings_do_not_nest() -> None:
    text = "[{" * 100 + '\\"' + "[{" * 100
    assert parse_object(f'{{"a":"{text}"}}'.encode())["a"] == "[{" * 100 + '"' + "[{" * 100


def test_many_objects_beside_each_other_do_not_nest() -> None:
    assert parse_object(b'{"a":[' + b"{}," * 999 + b"{}]}") == {"a": [{}] * 1000}


@pytest.mark.parametrize(
    "body",
    [
        b'{"a":' + b"[" * 65_000,
        b'{"a":"' + b'\\"' * 32_000 + b"[" * 33,
        b'{"a":' + b"[" * 33 + b'"' * 64_000,
    ],
    ids=["brackets", "escaped quotes", "quotes"],
)
def test_pathological_bodies_are_rejected_quickly(body: bytes) -> None:
    with pytest.raises(InvalidJson):
        parse_object(body)


@given(
    st.binary(max_size=200)
    | st.text(alphabet='{}[]",:\\u0de+-.naNIfity \n', max_size=60).map(str.encode)
)
def test_any_bytes_are_an_envelope_or_a_declared_error(body: bytes) -> None:
    try:
        envelope = read_envelope(body)
    except (InvalidJson, CredentialsMissing, CredentialsMalformed):
        return
    assert isinstance(envelope, Envelope)


@pytest.mark.parametrize(
    "fields",
    ['"business_id":"a","business_id":"a","api_key":"b"', '"business_id":"a","api_key":NaN'],
)
def test_a_duplicate_credential_is_invalid_json(fields: str) -> None:
    with pytest.raises(InvalidJson):
        read_envelope(f"{{{fields}}}".encode())


def test_the_repr_of_an_envelope_contains_no_values() -> None:
    envelope = read_envelope(b'{"business_id":"a","api_key":"KEY","action":"x","card":"4111"}')
    assert "KEY" not in repr(envelope)
    assert "4111" not in repr(envelope)
