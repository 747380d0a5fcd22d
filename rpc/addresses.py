"""Where cores serve, in gRPC's words, and how a channel shares calls out to them; opens nothing.

gRPC itself balances: round robin over the cores that are connected and say that they serve
(A17, https://github.com/grpc/proposal/blob/master/A17-client-side-health-checking.md).
"""

import ipaddress
import json
import re

UNIX = "unix:"
DNS = "dns:///"
FORMS = (
    "host:port, a list ip:port,ip:port, one name for several cores dns:///name:port, or "
    "unix:/path,unix:/path"
)
MAX_BACKOFF_SECONDS = 1.0
"""How long a client waits at most, and a fifth longer, before it connects to a core again."""
_LOST_AFTER_SECONDS = 5
"""How long a connected core may leave a ping without an answer, which its threads give."""
_QUIET_SECONDS = 10
_PORT = re.compile(r"[0-9]{1,5}")
_NAME = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_.-]*[A-Za-z0-9_.])?")
_IP = ipaddress.IPv4Address | ipaddress.IPv6Address
_LOCAL_NAMES = {"localhost": "127.0.0.1"}
"""gRPC looks up no names in a list; this one needs no looking up (RFC 6761, section 6.3)."""


def grpc_target(cores: str) -> str:
    """Return the gRPC target (https://github.com/grpc/grpc/blob/master/doc/naming.md) for `cores`.

    `cores` is `host:port`, a comma-separated list of `ip:port`, `dns:///name:port`, or a
    comma-separated list of `unix:/path`.

    Raises:
        ValueError: it is none of these; the message says what is accepted.
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


def channel_options(cores: str) -> list[tuple[str, str | int]]:
    """Return the options of a channel to `cores`; gRPC then only resends what nobody has read.

    Retries are on without a policy, which leaves the transparent ones: of calls that were never
    written to a connection, or whose connection the server closed saying that it had not read them
    (A6, https://github.com/grpc/proposal/blob/master/A6-client-retries.md#transparent-retries).

    Raises:
        ValueError: as of `grpc_target`.
    """
    return [
        ("grpc.service_config", json.dumps(_service_config(grpc_target(cores)))),
        ("grpc.enable_retries", 1),
        ("grpc.enable_http_proxy", 0),  # http_proxy is for the web, not for our core
        ("grpc.initial_reconnect_backoff_ms", 100),
        ("grpc.min_reconnect_backoff_ms", 100),
        ("grpc.max_reconnect_backoff_ms", round(MAX_BACKOFF_SECONDS * 1000)),
        ("grpc.dns_min_time_between_resolutions_ms", 1000),  # cores come and go behind a name
        # A machine that lost its power closes no connection.
        ("grpc.keepalive_time_ms", _QUIET_SECONDS * 1000),
        ("grpc.keepalive_timeout_ms", _LOST_AFTER_SECONDS * 1000),
        ("grpc.http2.ping_timeout_ms", _LOST_AFTER_SECONDS * 1000),
    ]


def _service_config(target: str) -> dict[str, object]:
    config: dict[str, object] = {"loadBalancingConfig": [{"round_robin": {}}]}
    if target.startswith(DNS) or "," in target:
        # Of one core alone, calls are better sent also in its last second: there is no other.
        config["healthCheckConfig"] = {"serviceName": ""}
    return config


def _list_of(addresses: list[tuple[str, str]]) -> str:
    """Return a target of IP addresses, which must be of one family: IPv4 is mapped if need be."""
    found: list[tuple[_IP, str]] = []
    for host, port in addresses:
        ip = _address(_LOCAL_NAMES.get(host, host))
        if ip is None:
            raise ValueError(
                f"'{host}' cannot stand in a list of cores (NIVISCO_CORE), which takes only IP "
                "addresses: for several by name, have one DNS name lead to all of them, "
                f"{DNS}name:port"
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
    return ValueError(f"'{cores}' does not say where cores serve (NIVISCO_CORE): write {FORMS}")
