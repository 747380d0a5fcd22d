"""A page of a list, as asked for. Pure."""

from dataclasses import dataclass
from datetime import datetime

DEFAULT_LIMIT = 25


@dataclass(frozen=True, slots=True)
class PageRequest:
    """Which rows of a list: `page` counts from 1; both dates are inclusive."""

    page: int = 1
    limit: int = DEFAULT_LIMIT
    from_date: datetime | None = None
    to_date: datetime | None = None

    @property
    def offset(self) -> int:
        """How many rows come before this page."""
        return (self.page - 1) * self.limit
