"""Calls the Nivisco Payments API from a server, with blocking or with asyncio code."""

from .async_client import AsyncClient
from .client import Client
from .errors import ApiError, DeclinedError, FieldProblem, NiviscoError, NoAnswerError
from .version import VERSION as __version__

__all__ = [
    "ApiError",
    "AsyncClient",
    "Client",
    "DeclinedError",
    "FieldProblem",
    "NiviscoError",
    "NoAnswerError",
    "__version__",
]
