"""Allows plain HTTP only on this machine, or from the proxies that the settings name."""

import ipaddress
import re
import socket
from collections.abc import Sequence
from typing import TypeAlias

from aiohttp import hdrs, web

from rpc.loopback import is_loopback, resolves_to_loopback

_ADDRESS = re.compile(r"[0-9A-Fa-f.:]{2,45}")
Network: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network


def read_networks(name: str, text: str) -> tuple[Network, ...]:
    """Read IP addresses and networks, separated by commas.

    Raises:
        ValueError: one is neither, or covers every address; the message says what to write.
    """
    networks: list[Network] = []
    for entry in filter(None, (part.strip() for part in text.split(","))):
        try:
            network = ipaddress.ip_network(entry)
        except ValueError:
            raise ValueError(
                f"{name}: '{entry}' is not an IP address or network, such as 10.0.0.5, "
                "10.0.0.0/24 or fd00::5"
            ) from None
        if network.prefixlen == 0:
            raise ValueError(f"{name}: {entry} is everybody: name the proxy's own addresses")
        networks.append(network)
    return tuple(networks)


def is_trusted(peer: str | None, proxies: Sequence[Network]) -> bool:
    """Return whether plain HTTP from this peer is accepted: a proxy, or a process of this machine.

    The peer of a unix socket is an empty string; None, a closed connection, is not trusted.
    """
    if not peer:
        return peer == ""
    address = ipaddress.ip_address(peer)
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped:
        address = address.ipv4_mapped
    return is_loopback(peer) or any(address in network for network in proxies)


def client_address(request: web.BaseRequest) -> str | None:
    """Return the address of a proxy's client, as it says; of the peer, if it says nothing.

    It is the last one in X-Forwarded-For, which the proxy itself must add; what is before it came
    with the request. The log, the audit trail and the limits of addresses use it ("Limits" in
    docs/operating.md).
    """
    forwarded = request.headers.getall(hdrs.X_FORWARDED_FOR, ())
    if not forwarded:
        return request.remote
    last = forwarded[-1].rpartition(",")[2].strip()
    return last if _ADDRESS.fullmatch(last) else request.remote


def check_may_listen(
    host: str, port: int, listener: socket.socket | None, proxies: Sequence[Network]
) -> None:
    """Check that plain HTTP is allowed on a host, or on a listening socket.

    Raises:
        ValueError: other machines can reach it; the message says the three ways to fix it.
        OSError: the host does not resolve.
    """
    if proxies:
        return
    if listener is not None:
        if listener.family == socket.AF_UNIX:
            return
        host, port = listener.getsockname()[:2]
    if not resolves_to_loopback(host):
        address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        raise ValueError(
            f"NIVISCO_HTTP {address} can be reached from other machines, and API keys must not be "
            "sent there in plain HTTP: set NIVISCO_TLS_CERTIFICATE_FILE and NIVISCO_TLS_KEY_FILE, "
            "or name the proxy that speaks TLS for it in NIVISCO_TRUSTED_PROXIES, or listen on "
            "127.0.0.1"
        )
