"""Reads, writes and checks addresses, `host:port` and `unix:/path`; opens no connection."""

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
    """Where a process listens. IPv6 hosts are kept without brackets; port 0 means any free one."""

    host: str
    port: int
    scheme: str = "http"

    @classmethod
    def parse(cls, text: str) -> "Address":
        """Read `127.0.0.1:8080`, `localhost:8080` or `[::1]:8080`, also after `http://`.

        Raises:
            ValueError: it is none of these; the message says what to write.
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
        """Return the address to call from this machine: loopback for one on every interface."""
        return replace(self, host=_WILDCARDS.get(self.host, self.host))

    def url(self) -> str:
        """Return the http(s) address to call from this machine, without a slash at the end."""
        return f"{self.scheme}://{self.reachable()}"


@dataclass(frozen=True, slots=True)
class UnixSocket:
    """A socket in the file system of this machine, which gRPC can be spoken over."""

    path: str

    def __str__(self) -> str:
        return f"unix:{self.path}"


CoreAddress: TypeAlias = Address | UnixSocket
"""Where a core listens or is called."""


def read_core_address(
    context: click.Context, parameter: click.Parameter, text: str | None
) -> CoreAddress | None:
    """Read an option's value of the form HOST:PORT or unix:/path; a click callback.

    Raises:
        click.BadParameter: it has another form; the message says what to write.
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
    """Read an option's value of the form HOST:PORT; a click callback.

    Raises:
        click.BadParameter: it has another form; the message says what to write.
    """
    if text is None:
        return None
    try:
        return Address.parse(text)
    except ValueError as error:
        raise click.BadParameter(str(error), param=parameter) from None


def read_cores(_context: click.Context, parameter: click.Parameter, text: str | None) -> str | None:
    """Check an option's value that names one core or several; a click callback.

    Raises:
        click.BadParameter: it has another form; the message says what to write.
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
    """Check that each (option, address) can be listened on, all of them at once.

    Raises:
        Failure: one is taken, or cannot be had; the message names the option to change.
    """
    with ExitStack() as held:
        for option, address in addresses:
            held.enter_context(listen(option, address, backlog=1))


def listen(option: str, address: Address, *, backlog: int) -> socket.socket:
    """Return a socket that listens on an address, the first that its host stands for.

    Raises:
        Failure: it is taken, or cannot be had; the message names the option to change.
    """
    try:
        family, kind, protocol, _, target = socket.getaddrinfo(
            address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listening = socket.socket(family, kind, protocol)
        try:
            # As servers do: connections of an earlier process may still linger.
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listening.bind(target)
            listening.listen(backlog)
        except OSError:
            listening.close()
            raise
    except OSError as error:
        raise Failure(_why_not(option, address, error)) from None
    return listening


def _why_not(option: str, address: Address, error: OSError) -> str:
    if isinstance(error, socket.gaierror):
        return f"The host of {option} {address} is not known on this machine."
    if error.errno == errno.EADDRINUSE:
        return f"{address} is taken. Choose another port with {option} HOST:PORT."
    if error.errno == errno.EACCES:
        return f"{address} needs more rights. Choose a port above 1023 with {option} HOST:PORT."
    return f"Cannot listen on {address}: {error.strerror}. Choose another with {option} HOST:PORT."
