"""Between the messages' types and the plain values of rules and stores. Pure, no rules."""

from datetime import UTC, datetime
from typing import Literal, Protocol

from google.protobuf.timestamp_pb2 import Timestamp

from core.database.paging import DEFAULT_LIMIT, PageRequest
from nivisco.payments.v1 import payments_pb2, types_pb2, wallet_pb2


def env_word(env: "types_pb2.Env.ValueType") -> str | None:
    """Return `TEST`, `LIVE`, or None where the request names none."""
    return types_pb2.Env.Name(env).removeprefix("ENV_") if env else None


def env_value(word: str) -> "types_pb2.Env.ValueType":
    """Return the enum value of `TEST` or `LIVE`."""
    return types_pb2.Env.Value(f"ENV_{word}")


def gateway_word(gateway: "types_pb2.Gateway.ValueType") -> str | None:
    """Return `stripe`, `authorize`, or None where the request names none."""
    return types_pb2.Gateway.Name(gateway).removeprefix("GATEWAY_").lower() if gateway else None


def gateway_value(word: str) -> "types_pb2.Gateway.ValueType":
    """Return the enum value of a gateway's word."""
    return types_pb2.Gateway.Value(f"GATEWAY_{word.upper()}")


def payment_status_word(status: "payments_pb2.PaymentStatus.ValueType") -> str | None:
    """Return a payment status as it is stored, or None where the request names none."""
    name = payments_pb2.PaymentStatus.Name(status)
    return name.removeprefix("PAYMENT_STATUS_").lower() if status else None


def payment_status_value(word: str) -> "payments_pb2.PaymentStatus.ValueType":
    """Return the enum value of a stored payment status."""
    return payments_pb2.PaymentStatus.Value(f"PAYMENT_STATUS_{word.upper()}")


def transaction_type_value(word: str) -> "wallet_pb2.TransactionType.ValueType":
    """Return the enum value of `credit` or `debit`."""
    return wallet_pb2.TransactionType.Value(f"TRANSACTION_TYPE_{word.upper()}")


def transaction_source_value(word: str) -> "wallet_pb2.TransactionSource.ValueType":
    """Return the enum value of a movement's source."""
    return wallet_pb2.TransactionSource.Value(f"TRANSACTION_SOURCE_{word.upper()}")


def transaction_reason_value(word: str) -> "wallet_pb2.TransactionReason.ValueType":
    """Return the enum value of a movement's reason."""
    return wallet_pb2.TransactionReason.Value(f"TRANSACTION_REASON_{word.upper()}")


def timestamp(moment: datetime) -> Timestamp:
    """Return the message of a moment."""
    message = Timestamp()
    message.FromDatetime(moment)
    return message


class ListRequest(Protocol):
    """What every list request has."""

    page: int
    limit: int

    @property
    def from_date(self) -> Timestamp:
        """The earliest moment."""
        ...

    @property
    def to_date(self) -> Timestamp:
        """The latest moment."""
        ...

    def HasField(self, field_name: Literal["from_date", "to_date"], /) -> bool:  # noqa: N802
        """Tell whether the request names the moment; the year 1970 begins with an empty one."""
        ...


def page_request(request: ListRequest) -> PageRequest:
    """Return the page that a list request asks for, with the defaults put in."""
    return PageRequest(
        page=request.page or 1,
        limit=request.limit or DEFAULT_LIMIT,
        from_date=_moment(request.from_date) if request.HasField("from_date") else None,
        to_date=_moment(request.to_date) if request.HasField("to_date") else None,
    )


def _moment(value: Timestamp) -> datetime:
    return value.ToDatetime(tzinfo=UTC)
