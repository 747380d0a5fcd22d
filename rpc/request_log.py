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
    target: logging.Logger, level: int, message: str, fields: Mapping[str, object]
) -> None:
    """Log `message` with `fields`, as `target.log(level, message, extra=fields)` does."""
    if not target.isEnabledFor(level):
        return
    if handler := _only_handler(target):
        handler.write_fields(level, target.name, message, fields)
    else:
        target.log(level, message, extra=fields)


def _only_handler(target: logging.Logger) -> FieldsHandler | None:
    """Return the handler of all that is logged, if it needs no record and nothing else sees one."""
    root = logging.getLogger()
    if target.handlers or target.filters or target.parent is not root or not target.propagate:
        return None
    if len(root.handlers) != 1:
        return None
    (handler,) = root.handlers
    if isinstance(handler, FieldsHandler) and not handler.filters and not handler.level:
        return handler
    return None
