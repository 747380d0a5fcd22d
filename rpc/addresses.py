"""gRPC targets and channel options for the addresses of cores.

gRPC balances calls: round robin over the connected cores that report SERVING
(A17, https://github.com/grpc/proposal/blob/master/A17-client-side-health-checking.md).
"""

import asyncio
import ipaddress
import json
import re
import socket

UNIX = "unix:"
DNS = "dns:///"
FORMS = (
    "host:port, a list ip:port,ip:port, one name for several cores dns:///name:port, or "
    "unix:/path,unix:/path"
)
MAX_BACKOFF_SECONDS = 0.5
"""Longest wait between two attempts to connect; gRPC adds up to 20 percent."""
_PING_TIMEOUT_SECONDS = 5
"""Timeout of a ping, which a core's threads answer."""
_PING_INTERVAL_SECONDS = 10
_CONNECTION_OPTIONS: list[tuple[str, str | int]] = [
    ("grpc.enable_http_proxy", 0),  # ignore http_proxy
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", round(MAX_BACKOFF_SECONDS * 1000)),
    ("grpc.dns_min_time_between_resolutions_ms", 1000),  # the cores of a name change
    # A machine that lost power does not close its connections.
    ("grpc.keepalive_time_ms", _PING_INTERVAL_SECONDS * 1000),
    ("grpc.keepalive_timeout_ms", _PING_TIMEOUT_SECONDS * 1000),
    ("grpc.http2.ping_timeout_ms", _PING_TIMEOUT_SECONDS * 1000),
]
_PORT = re.compile(r"[0-9]{1,5}")
_NAME = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_.-]*[A-Za-z0-9_.])?")
_IP = ipaddress.IPv4Address | ipaddress.IPv6Address
_LOCAL_NAMES = {"localhost": "127.0.0.1"}
"""gRPC does not resolve names in a list; this one is fixed (RFC 6761, section 6.3)."""


def grpc_target(cores: str) -> str:
    """Return the gRPC target (https://github.com/grpc/grpc/blob/master/doc/naming.md) for `cores`.

    `cores` is `host:port`, a comma-separated list of `ip:port`, `dns:///name:port`, or a
    comma-separated list of `unix:/path`.

    Raises:
        ValueError: it has none of these forms; the message lists them.
    """
    if cores.startswith(DNS):
        host, port = _split(cores, cores.removeprefix(DNS))
        if not _NAME.fullmatch(host):
            raise _refused(cores)
        return f"{DNS}{host}:{port}"
    parts = [part.strip() for part in cores.split(",")]
    if any(part.startswith(UNIX) for part in parts):
        paths = [part.removeprefix(UNIX) for part in parts if part.startswith(UNIX + "/")]
        if len(paths) != len(parts):
            raise _refused(cores)
        return UNIX + ",".join(paths)
    addresses = [_split(cores, part) for part in parts]
    if len(addresses) == 1 and _address(addresses[0][0]) is None:
        host, port = addresses[0]
        if not _NAME.fullmatch(host):
            raise _refused(cores)
        return f"{DNS}{host}:{port}"
    return _list_of(addresses)


async def single_targets(cores: str) -> list[str]:
    """Return a gRPC target for each single core, with the present addresses of a name.

    Raises:
        ValueError: as `grpc_target`.
        OSError: the name is not known.
    """
    target = grpc_target(cores)
    if not target.startswith(DNS):
        scheme, _, addresses = target.partition(":")
        return [f"{scheme}:{address}" for address in addresses.split(",")]
    host, port = _split(cores, target.removeprefix(DNS))
    found = await asyncio.get_running_loop().getaddrinfo(host, int(port), type=socket.SOCK_STREAM)
    ips = dict.fromkeys((family, str(address[0])) for family, _, _, _, address in found)
    return [
        f"ipv6:[{ip}]:{port}" if family is socket.AF_INET6 else f"ipv4:{ip}:{port}"
        for family, ip in ips
    ]


def channel_options(cores: str) -> list[tuple[str, str | int]]:
    """Return the options of a channel to `cores`.

    Retries are enabled without a policy, so only transparent ones happen: of calls that were not
    written to a connection, or that the server reported as unprocessed when it closed it
    (A6, https://github.com/grpc/proposal/blob/master/A6-client-retries.md#transparent-retries).

    Raises:
        ValueError: as `grpc_target`.
    """
    return [
        ("grpc.service_config", json.dumps(_service_config(grpc_target(cores)))),
        ("grpc.enable_retries", 1),
        ("grpc.min_reconnect_backoff_ms", 100),
        *_CONNECTION_OPTIONS,
    ]


def stream_channel_options(cores: str, server_name: str) -> list[tuple[str, str | int]]:
    """Return the options of a channel that carries one stream to one of `cores`.

    A stream is never retried by gRPC: only its client knows which of its calls were sent.
    `server_name` is the name in the core's certificate; empty: that in `cores`.

    Raises:
        ValueError: as `grpc_target`.
    """
    target = grpc_target(cores)
    if not server_name and target.startswith(DNS):
        server_name = target.removeprefix(DNS)
    return [
        ("grpc.enable_retries", 0),
        # The timeout of an attempt to connect, in spite of its name: busy cores take some time.
        ("grpc.min_reconnect_backoff_ms", 2000),
        ("grpc.http2.max_pings_without_data", 0),  # an idle stream is pinged too
        *_CONNECTION_OPTIONS,
        *([("grpc.default_authority", server_name)] if server_name else []),
    ]


def _service_config(target: str) -> dict[str, object]:
    config: dict[str, object] = {"loadBalancingConfig": [{"round_robin": {}}]}
    if target.startswith(DNS) or "," in target:
        # A single core gets calls also while it drains, because there is no other.
        config["healthCheckConfig"] = {"serviceName": ""}
    return config


def _list_of(addresses: list[tuple[str, str]]) -> str:
    """Return a target of IP addresses. Mixed families become IPv6, with IPv4 mapped."""
    found: list[tuple[_IP, str]] = []
    for host, port in addresses:
        ip = _address(_LOCAL_NAMES.get(host, host))
        if ip is None:
            raise ValueError(
                f"'{host}' is not an IP address: a list of cores (NIVISCO_CORE) takes IP addresses "
                f"only. For cores by name, use one DNS name for all of them, {DNS}name:port"
            )
        found.append((ip, port))
    if all(isinstance(ip, ipaddress.IPv4Address) for ip, _ in found):
        return "ipv4:" + ",".join(f"{ip}:{port}" for ip, port in found)
    return "ipv6:" + ",".join(
        f"[::ffff:{ip}]:{port}" if isinstance(ip, ipaddress.IPv4Address) else f"[{ip}]:{port}"
        for ip, port in found
    )


def _split(cores: str, address: str) -> tuple[str, str]:
    host, _, port = address.rpartition(":")
    bracketed = host.startswith("[") and host.endswith("]")
    bare = host[1:-1] if bracketed else host
    if not bare or not _PORT.fullmatch(port) or not 0 < int(port) <= 65535:
        raise _refused(cores)
    if bracketed != (":" in bare) or (bracketed and _address(bare) is None):
        raise _refused(cores)
    return bare, port


def _address(host: str) -> _IP | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def _refused(cores: str) -> ValueError:
    return ValueError(f"'{cores}' is not an address of cores (NIVISCO_CORE): use {FORMS}")
