"""What all gateways' connections share: how many, how long, and what was surely not sent."""

from typing import Final

import aiohttp

CONNECTIONS_MAX: Final = 1000
CALLS_PER_ACCOUNT_MAX: Final = 32
"""How many calls one business may have under way at once: its hanging ones must not use up all."""
ACCOUNTS_MAX: Final = 1024
"""For how many accounts something is kept ready."""
CONNECT_SECONDS_MAX: Final = 5.0

CERTAINLY_NOT_SENT: Final = (
    aiohttp.ClientConnectorError,  # refused, unreachable, DNS, TLS and certificate
    aiohttp.ConnectionTimeoutError,  # no connection, of the pool or to the gateway, in time
    aiohttp.ServerFingerprintMismatch,
    aiohttp.InvalidURL,
)
"""What aiohttp raises before a byte of the request was sent."""
