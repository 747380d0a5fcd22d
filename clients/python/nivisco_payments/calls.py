"""One call of an action: its body, its answer, and whether to try again; it sends nothing."""

import json
import random
import time
import uuid
from dataclasses import dataclass, field
from decimal import Decimal
from ipaddress import ip_address
from typing import Any, Dict, Mapping, Optional
from urllib.parse import urlsplit

from .errors import ApiError, DeclinedError, NiviscoError, NoAnswerError

FIRST_PAUSE_SECONDS = 0.25
TOO_MANY_REQUESTS = 429
PAYMENT_REQUIRED = 402
NOT_IMPLEMENTED = 501


@dataclass(frozen=True)
class Settings:
    """Whom to call, as whom, and how patiently."""

    business_id: str
    api_key: str = field(repr=False)
    base_url: str
    timeout: float = 30.0
    """Seconds for a call with all its attempts."""
    max_attempts: int = 4
    allow_plain_http: bool = False

    def __post_init__(self) -> None:
        address = urlsplit(self.base_url)
        if address.scheme not in ("https", "http") or not address.hostname:
            raise ValueError("base_url must be an https:// address")
        if address.username is not None or address.password is not None:
            raise ValueError("base_url must hold no user name or password")
        if self.is_plain and not (self.allow_plain_http or _is_loopback(address.hostname)):
            raise ValueError(
                "base_url is plain http, which would show the API key to the network: "
                "use https, or allow_plain_http=True where the network is trusted"
            )
        if self.timeout <= 0 or self.max_attempts < 1:
            raise ValueError("timeout must be above 0 and max_attempts at least 1")

    @property
    def is_plain(self) -> bool:
        """Whether what is sent can be read on the way."""
        return urlsplit(self.base_url).scheme == "http"


class Call:
    """One call, over all its attempts."""

    def __init__(
        self, settings: Settings, action: str, fields: Mapping[str, Any], *, mutates: bool
    ) -> None:
        given = {name: value for name, value in fields.items() if value is not None}
        if mutates:
            given.setdefault("idempotency_key", str(uuid.uuid4()))
        _refuse_floats(given)
        self._settings = settings
        self.action = action
        self.idempotency_key: Optional[str] = given.get("idempotency_key")
        envelope: Dict[str, Any] = {
            "business_id": settings.business_id,
            "api_key": settings.api_key,
            "action": action,
            **given,
        }
        self.body = json.dumps(envelope, default=_decimal_text).encode()
        self._attempts = 0
        self._deadline = time.monotonic() + settings.timeout

    def __repr__(self) -> str:
        return f"Call({self.action!r}, idempotency_key={self.idempotency_key!r})"

    def begin_attempt(self) -> float:
        """Count one more attempt, and return how many seconds are left for it."""
        self._attempts += 1
        return max(0.001, self._deadline - time.monotonic())

    @property
    def is_late(self) -> bool:
        """Whether the call's time is over."""
        return time.monotonic() >= self._deadline

    def answer(self, status: int, content: bytes, headers: Mapping[str, str]) -> Dict[str, Any]:
        """Return the body of a success; its numbers are texts.

        Raises:
            NiviscoError: it is a refusal, or no answer of the API.
        """
        try:
            body = json.loads(content, parse_float=str, parse_int=str)
        except (ValueError, RecursionError):
            body = None
        if not isinstance(body, dict) or not isinstance(body.get("success"), bool):
            if not _is_worth_repeating(status) and 300 <= status < 500:
                body = {}  # something before the API refused, and nothing came to it
            else:
                raise self.no_answer(f"the answer, HTTP {status}, is not one of the API") from None
        if 200 <= status < 300 and body.get("success"):
            return body
        kind = DeclinedError if status == PAYMENT_REQUIRED else ApiError
        retry_after = headers.get("retry-after", "")
        raise kind(
            str(body.get("error", f"HTTP {status}")),
            action=self.action,
            idempotency_key=self.idempotency_key,
            status=status,
            body=body,
            retry_after=int(retry_after) if retry_after.isdecimal() else None,
            request_id=headers.get("x-request-id"),
        )

    def no_answer(self, why: str) -> NoAnswerError:
        """Return the error of an attempt that brought no usable answer."""
        return NoAnswerError(why, action=self.action, idempotency_key=self.idempotency_key)

    def pause_after(self, error: NiviscoError) -> float:
        """Return how many seconds to wait before the next attempt.

        Raises:
            NiviscoError: the error that was given, where another attempt has no use or no time.
        """
        if isinstance(error, ApiError) and not _is_worth_repeating(error.status):
            raise error
        longest = FIRST_PAUSE_SECONDS * 2 ** (self._attempts - 1)
        pause = random.uniform(longest / 2, longest)
        if isinstance(error, ApiError) and error.retry_after is not None:
            pause = max(pause, float(error.retry_after))
        has_time = time.monotonic() + pause < self._deadline
        if self._attempts >= self._settings.max_attempts or not has_time:
            raise error
        return pause


def _is_worth_repeating(status: int) -> bool:
    return status == TOO_MANY_REQUESTS or (status >= 500 and status != NOT_IMPLEMENTED)


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def _refuse_floats(value: object) -> None:
    if isinstance(value, float):
        raise TypeError("a float is not exact: give an amount as text, for example '25.50'")
    if isinstance(value, Mapping):
        for each in value.values():
            _refuse_floats(each)


def _decimal_text(value: object) -> str:
    if isinstance(value, Decimal):
        return format(value, "f")
    raise TypeError(f"{type(value).__name__} cannot be sent")
