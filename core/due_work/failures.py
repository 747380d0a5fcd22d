"""Records that a look failed: the row is put off, or set aside with its error."""

import logging
from typing import Final

from core.database.transactions import CommitUnknownError, DatabaseUnavailableError, Transaction
from core.due_work import rules, store
from core.due_work.rules import Failure, Key
from core.due_work.store import DueTable

logger = logging.getLogger("core.due_work")

UNAVAILABLE: Final = (DatabaseUnavailableError, CommitUnknownError)
"""Errors of the database that pass."""


def is_outage(error: Exception) -> bool:
    """Return whether an error passes, and says nothing about the row that was looked at."""
    return rules.failure_of(error, outages=UNAVAILABLE) is Failure.OUTAGE


async def record_failure(
    transaction: Transaction, due: DueTable, key: Key, error: Exception
) -> None:
    """Put a row off or set it aside after a look at it raised `error`."""
    failure = rules.failure_of(error, outages=UNAVAILABLE)
    description = rules.description_of(error)
    about = due.shown(key) | {"error": description}
    is_aside = await store.record_failure(transaction, due, key, failure, description)
    if is_aside:
        trace = error if failure is Failure.UNEXPECTED else None
        logger.error("due work set aside", extra=about, exc_info=trace)
    elif failure is Failure.UNEXPECTED:
        logger.warning("look at due work failed, retrying", extra=about, exc_info=error)
    else:
        logger.info("due work put off", extra=about)
