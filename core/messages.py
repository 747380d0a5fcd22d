"""Converts between message types and the plain values of rules and stores."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cache
from typing import TYPE_CHECKING, Literal, Protocol, TypeVar, cast

from google.protobuf.descriptor import EnumDescriptor
from google.protobuf.timestamp_pb2 import Timestamp

from core.database.paging import DEFAULT_LIMIT, PageRequest
from core.errors import InvalidFields
from nivisco.annotations.v1 import annotations_pb2
from nivisco.payments.v1 import types_pb2

if TYPE_CHECKING:  # generic in the stubs only
    from google.protobuf.internal.enum_type_wrapper import _EnumTypeWrapper as Enum

Value = TypeVar("Value", bound=int)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SECONDS_A_DAY = 86_400


def enum_word(enum: Enum[Value], value: Value) -> str | None:
    """Return the word that JSON and the database use for an enum value; None if unspecified."""
    return _words(enum.DESCRIPTOR)[value] if value else None


def enum_value(enum: Enum[Value], word: str) -> Value:
    """Return the enum value of a word."""
    return cast("Value", _numbers(enum.DESCRIPTOR)[word])


@cache
def _words(enum: EnumDescriptor) -> Mapping[int, str]:
    """Return the word of each value: the option `word`, or the lower-case rest of its name."""
    prefix = enum.values_by_number[0].name.removesuffix("UNSPECIFIED")
    return {
        value.number: value.GetOptions().Extensions[annotations_pb2.word]
        or value.name.removeprefix(prefix).lower()
        for value in enum.values
    }


@cache
def _numbers(enum: EnumDescriptor) -> Mapping[str, int]:
    return {word: number for number, word in _words(enum).items()}


def env_word(env: types_pb2.Env.ValueType) -> str | None:
    """Return `TEST` or `LIVE`; None if unspecified."""
    return enum_word(types_pb2.Env, env)


def env_value(word: str) -> types_pb2.Env.ValueType:
    """Return the enum value of `TEST` or `LIVE`."""
    return enum_value(types_pb2.Env, word)


def gateway_word(gateway: types_pb2.Gateway.ValueType) -> str | None:
    """Return `stripe` or `authorize`; None if unspecified."""
    return enum_word(types_pb2.Gateway, gateway)


def gateway_value(word: str) -> types_pb2.Gateway.ValueType:
    """Return the enum value of `stripe` or `authorize`."""
    return enum_value(types_pb2.Gateway, word)


def timestamp(moment: datetime) -> Timestamp:
    """Return the message of a time."""
    since = moment - _EPOCH  # FromDatetime takes three times as long
    seconds = since.days * _SECONDS_A_DAY + since.seconds
    return Timestamp(seconds=seconds, nanos=since.microseconds * 1000)


class ListRequest(Protocol):
    """The fields that every list request has."""

    page: int
    limit: int
    cursor: str

    @property
    def from_date(self) -> Timestamp:
        """The earliest time."""
        ...

    @property
    def to_date(self) -> Timestamp:
        """The latest time."""
        ...

    def HasField(  # noqa: N802
        self, field_name: Literal["page", "cursor", "from_date", "to_date"], /
    ) -> bool:
        """Return whether the field is set. An empty Timestamp is 1970-01-01, a valid time."""
        ...


def page_request(request: ListRequest) -> PageRequest:
    """Return the page of a list request, with defaults filled in.

    Raises:
        InvalidFields: the request has both a page and a cursor.
    """
    if request.HasField("page") and request.HasField("cursor"):
        raise InvalidFields.of("cursor", "must not be given together with page")
    return PageRequest(
        page=request.page or 1,
        limit=request.limit or DEFAULT_LIMIT,
        from_date=time_of(request.from_date) if request.HasField("from_date") else None,
        to_date=time_of(request.to_date) if request.HasField("to_date") else None,
        cursor=request.cursor if request.HasField("cursor") else None,
    )


def time_of(value: Timestamp) -> datetime:
    """Return the time of a message."""
    return value.ToDatetime(tzinfo=UTC)
