"""Logs a line for each request without a log record, which costs more than the line.

What reads records, such as a test or a second handler, still gets them.
"""

import logging
from abc import abstractmethod
from collections.abc import Mapping


class FieldsHandler(logging.Handler):
    """A handler that also writes lines without a record."""

    @abstractmethod
    def write_fields(
        self, level: int, logger: str, message: str, fields: Mapping[str, object]
    ) -> None:
        """Write what a record with these fields as `extra` would be written as."""


def log_request(
    logger: logging.Logger, level: int, message: str, fields: Mapping[str, object]
) -> None:
    """Log `message` with `fields`, as `logger.log(level, message, extra=fields)` does."""
    if not logger.isEnabledFor(level):
        return
    root = logging.getLogger()
    is_root_only = logger.parent is root and not logger.handlers and not logger.filters
    if is_root_only and len(root.handlers) == 1:
        handler = root.handlers[0]
        if isinstance(handler, FieldsHandler):
            handler.write_fields(level, logger.name, message, fields)
            return
    logger.log(level, message, extra=fields)
