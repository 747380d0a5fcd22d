"""Parses and formats addresses, `host:port` and `unix:/path`, and checks that they are free."""

import errno
import re
import socket
from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import TypeAlias

import click

from cli.failures import Failure
from rpc.addresses import grpc_target

_WILDCARDS = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}  # noqa: S104 - only compared
_ADDRESS = re.compile(
    r"(?:\[(?P<v6>(?=\w*:)[0-9A-Fa-f:.]+(?:%\w+)?)\]|(?P<host>[^\s:/\[\]]+)):(?P<port>\d{1,5})"
)


@dataclass(frozen=True, slots=True)
class Address:
    """Where a process listens. IPv6 hosts have no brackets here; port 0 means any free one."""

    host: str
    port: int
    scheme: str = "http"

    @classmethod
    def parse(cls, text: str) -> "Address":
        """Parse `127.0.0.1:8080`, `localhost:8080` or `[::1]:8080`, also after `http://`.

        Raises:
            ValueError: the text has another form; the message shows the right one.
        """
        scheme, separator, rest = text.strip().partition("://")
        if not separator:
            scheme, rest = "http", text.strip()
        match = _ADDRESS.fullmatch(rest.rstrip("/")) if scheme in ("http", "https") else None
        if match is None or int(match["port"]) > 65535:
            raise ValueError(f"'{text}' is not HOST:PORT, like 127.0.0.1:8080 or [::1]:8080")
        return cls(match["v6"] or match["host"], int(match["port"]), scheme)

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    def reachable(self) -> "Address":
        """Return the address to connect to from this machine: loopback for a wildcard address."""
        return replace(self, host=_WILDCARDS.get(self.host, self.host))

    def url(self) -> str:
        """Return the URL to call from this machine, without a slash at the end."""
        return f"{self.scheme}://{self.reachable()}"


@dataclass(frozen=True, slots=True)
class UnixSocket:
    """A unix socket for gRPC."""

    path: str

    def __str__(self) -> str:
        return f"unix:{self.path}"


CoreAddress: TypeAlias = Address | UnixSocket
"""Where a core listens or is called."""


def read_core_address(
    context: click.Context, parameter: click.Parameter, text: str | None
) -> CoreAddress | None:
    """Parse an option's HOST:PORT or unix:/path; a click callback.

    Raises:
        click.BadParameter: the text has another form; the message shows the right one.
    """
    if text is None or not text.startswith("unix:"):
        return read_address(context, parameter, text)
    path = text.removeprefix("unix:")
    if not path.startswith("/"):
        raise click.BadParameter(f"'{text}' is not unix:/path", param=parameter)
    return UnixSocket(path)


def read_address(
    _context: click.Context, parameter: click.Parameter, text: str | None
) -> Address | None:
    """Parse an option's HOST:PORT; a click callback.

    Raises:
        click.BadParameter: the text has another form; the message shows the right one.
    """
    if text is None:
        return None
    try:
        return Address.parse(text)
    except ValueError as error:
        raise click.BadParameter(str(error), param=parameter) from None


def read_cores(_context: click.Context, parameter: click.Parameter, text: str | None) -> str | None:
    """Parse an option's address of one core or several; a click callback.

    Raises:
        click.BadParameter: the text has another form; the message shows the right one.
    """
    if text is None:
        return None
    cores = re.sub(r"^https?://", "", text.strip()).rstrip("/")
    try:
        grpc_target(cores)
    except ValueError as error:
        raise click.BadParameter(str(error), param=parameter) from None
    return cores


def check_free(addresses: Iterable[tuple[str, Address]]) -> None:
    """Check that all (option, address) pairs can be listened on at the same time.

    Raises:
        Failure: one cannot; the message names the option to change.
    """
    with ExitStack() as open_sockets:
        for option, address in addresses:
            open_sockets.enter_context(listen(option, address, backlog=1))


def listen(option: str, address: Address, *, backlog: int) -> socket.socket:
    """Return a socket that listens on the first address that the host resolves to.

    Raises:
        Failure: it cannot; the message names the option to change.
    """
    try:
        family, kind, protocol, _, target = socket.getaddrinfo(
            address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listening = socket.socket(family, kind, protocol)
        try:
            # Connections of an earlier process may be in TIME_WAIT.
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listening.bind(target)
            listening.listen(backlog)
        except OSError:
            listening.close()
            raise
    except OSError as error:
        raise Failure(_listen_failure(option, address, error)) from None
    return listening


def _listen_failure(option: str, address: Address, error: OSError) -> str:
    if isinstance(error, socket.gaierror):
        return f"The host of {option} {address} is not known on this machine."
    if error.errno == errno.EADDRINUSE:
        return f"{address} is taken. Choose another port with {option} HOST:PORT."
    if error.errno == errno.EACCES:
        return f"{address} needs more rights. Choose a port above 1023 with {option} HOST:PORT."
    return f"Cannot listen on {address}: {error.strerror}. Choose another with {option} HOST:PORT."
