"""Tells which addresses stay on this machine; imports nothing of core and opens no connection."""

import ipaddress
import socket

UNIX_SCHEME = "unix:"
_TARGET_SCHEMES = ("ipv4:", "ipv6:", "dns:///", "dns:")
"""What gRPC lets stand before `host:port`; https://github.com/grpc/grpc/blob/master/doc/naming.md"""


def is_loopback(address: str) -> bool:
    """Tell whether an IP address, in any notation, is one of this machine's loopback."""
    parsed = ipaddress.ip_address(address)
    mapped = parsed.ipv4_mapped if isinstance(parsed, ipaddress.IPv6Address) else None
    return (mapped or parsed).is_loopback


def resolves_to_loopback(host: str) -> bool:
    """Tell whether every address of a host, which may be a name, is loopback.

    Raises:
        OSError: the system knows no such host.
    """
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        raise OSError(f"the host {host} is not known on this machine") from None
    return all(is_loopback(str(address[0])) for *_, address in found)


def stays_here(target: str) -> bool:
    """Tell whether calls to a gRPC target, or to a list of them, never leave this machine.

    What this does not understand, and a host that nobody knows, count as elsewhere.
    """
    if target.startswith(UNIX_SCHEME):
        return True
    scheme = next((known for known in _TARGET_SCHEMES if target.startswith(known)), "")
    return all(_is_here(one) for one in target.removeprefix(scheme).split(","))


def _is_here(host_and_port: str) -> bool:
    host = host_and_port.rpartition(":")[0].removeprefix("[").removesuffix("]")
    try:
        return bool(host) and resolves_to_loopback(host)
    except OSError:
        return False
