"""Which addresses and gRPC targets are on this machine's loopback."""

import ipaddress
import socket

UNIX_SCHEME = "unix:"
_TARGET_SCHEMES = ("ipv4:", "ipv6:", "dns:///", "dns:")
"""Schemes before `host:port` (https://github.com/grpc/grpc/blob/master/doc/naming.md)."""


def is_loopback(address: str) -> bool:
    """Return whether an IP address is a loopback address, also as IPv4-mapped IPv6."""
    parsed = ipaddress.ip_address(address)
    mapped = parsed.ipv4_mapped if isinstance(parsed, ipaddress.IPv6Address) else None
    return (mapped or parsed).is_loopback


def resolves_to_loopback(host: str) -> bool:
    """Return whether all addresses of a host are loopback addresses.

    Raises:
        OSError: the host is unknown.
    """
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        raise OSError(f"the host {host} is not known on this machine") from None
    return all(is_loopback(str(address[0])) for *_, address in found)


def is_local_target(target: str) -> bool:
    """Return whether all addresses of a gRPC target are on this machine.

    Targets that cannot be parsed and unknown hosts are not.
    """
    if target.startswith(UNIX_SCHEME):
        return True
    scheme = next((known for known in _TARGET_SCHEMES if target.startswith(known)), "")
    return all(_is_local(one) for one in target.removeprefix(scheme).split(","))


def _is_local(host_and_port: str) -> bool:
    host = host_and_port.rpartition(":")[0].removeprefix("[").removesuffix("]")
    try:
        return bool(host) and resolves_to_loopback(host)
    except OSError:
        return False
