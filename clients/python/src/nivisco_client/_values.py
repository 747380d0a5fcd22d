"""Amounts and times of responses."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from .codes import DECIMALS

_USUAL_DECIMALS = 2
_DECIMAL = re.compile(r"-?\d+(\.\d+)?")


def amount(body: Mapping[str, Any], name: str) -> str:
    """Return an amount with the decimals of the object's currency, and never fewer than it has."""
    text, currency = str(body[name]), body["currency"]
    if currency is None or _DECIMAL.fullmatch(text) is None:
        return text
    whole, _, decimals = text.partition(".")
    decimals = decimals.ljust(DECIMALS.get(currency, _USUAL_DECIMALS), "0")
    return f"{whole}.{decimals}" if decimals else whole


def moment(text: str) -> datetime:
    """Return a time in UTC.

    Raises:
        ValueError: the text is not a time.
    """
    return datetime.strptime(text, "%Y-%m-%d %H:%M:%S").replace(tzinfo=UTC)
