"""Connection pools whose waits end at the deadline of a call, and the proxy that they use."""

import ipaddress
import socket
import ssl
import threading
import time
import urllib.request
from collections.abc import Iterable
from typing import Any
from urllib.parse import SplitResult, unquote, urlsplit

import httpcore

_KEEPALIVE_SECONDS = 5.0
_LIMITS: dict[str, Any] = {"max_connections": 100, "keepalive_expiry": _KEEPALIVE_SECONDS}


class Deadlines(httpcore.NetworkBackend):
    """Ends every wait of a thread at the deadline of its call.

    A timeout of httpcore is that of one read: a response that arrives byte by byte would never
    reach it. Only the resolver of host names has timeouts of its own.
    """

    def __init__(self) -> None:
        self._network = httpcore.SyncBackend()
        self._thread = threading.local()

    def set(self, deadline: float) -> None:
        """Set the deadline of this thread's call, in seconds of the monotonic clock."""
        self._thread.deadline = deadline

    def left(self, timeout: float | None, late: type[Exception]) -> float:
        """Return the seconds left, at most the timeout.

        Raises:
            late: none are left.
        """
        left: float = self._thread.deadline - time.monotonic()
        if left <= 0:
            raise late("the deadline of the call has passed")
        return left if timeout is None else min(timeout, left)

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        """Connect to the first address that answers; all share the timeout."""
        until = time.monotonic() + self.left(timeout, httpcore.ConnectTimeout)
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:
            raise httpcore.ConnectError(str(error)) from None
        problem: Exception = httpcore.ConnectError("the host has no address")
        addresses = list(dict.fromkeys(str(each[4][0]) for each in found))
        for number, address in enumerate(addresses):
            left = max(until - time.monotonic(), 0.001) / (len(addresses) - number)
            try:
                return _Stream(
                    self._network.connect_tcp(address, port, left, local_address, socket_options),
                    self,
                )
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                problem = error
        raise problem


class _Stream(httpcore.NetworkStream):
    def __init__(self, stream: httpcore.NetworkStream, deadlines: Deadlines) -> None:
        self._stream = stream
        self._deadlines = deadlines

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._stream.read(max_bytes, self._deadlines.left(timeout, httpcore.ReadTimeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._stream.write(buffer, self._deadlines.left(timeout, httpcore.WriteTimeout))

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> httpcore.NetworkStream:
        left = self._deadlines.left(timeout, httpcore.ConnectTimeout)
        stream = self._stream.start_tls(ssl_context, server_hostname, left)
        return _Stream(stream, self._deadlines)

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)


def blocking_pool(url: str, deadlines: Deadlines) -> httpcore.ConnectionPool:
    """Return the pool of a blocking client."""
    if (proxy := _proxy(url)) is None:
        return httpcore.ConnectionPool(network_backend=deadlines, **_LIMITS)
    return httpcore.HTTPProxy(
        _address(proxy), _credentials(proxy), network_backend=deadlines, **_LIMITS
    )


def asynchronous_pool(url: str) -> httpcore.AsyncConnectionPool:
    """Return the pool of an asynchronous client, which bounds its calls by `asyncio.timeout`."""
    if (proxy := _proxy(url)) is None:
        return httpcore.AsyncConnectionPool(**_LIMITS)
    return httpcore.AsyncHTTPProxy(_address(proxy), _credentials(proxy), **_LIMITS)


def checked(url: str, *, allow_plain_http: bool) -> str:
    """Return the URL of the API.

    Raises:
        ValueError: it is invalid, or would send the API key in the clear.
    """
    try:
        parsed = urlsplit(url)
        _ = parsed.port
    except ValueError as error:
        raise ValueError(f"not a URL: {error}") from None
    if parsed.scheme not in {"http", "https"} or not parsed.hostname or "@" in parsed.netloc:
        raise ValueError("the URL must be https://host, without a user or password in it")
    if not url.isascii() or any(each.isspace() for each in url):
        raise ValueError("the URL must be in ASCII, a host's other letters as xn--…")
    if parsed.scheme == "http" and not allow_plain_http and not _is_loopback(parsed.hostname):
        raise ValueError(
            "plain http sends the API key in the clear: use https, or allow_plain_http=True "
            "where the network is your own"
        )
    return url


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _proxy(url: str) -> SplitResult | None:
    """Return the proxy of the environment; none for this machine, which a proxy cannot reach."""
    parsed = urlsplit(url)
    host = parsed.hostname or ""
    if _is_loopback(host) or urllib.request.proxy_bypass(host):
        return None
    proxies = urllib.request.getproxies()
    proxy = proxies.get(parsed.scheme) or proxies.get("all")
    if not proxy:
        return None
    found = urlsplit(proxy if "://" in proxy else f"http://{proxy}")
    if found.scheme not in {"http", "https"} or not found.hostname:
        raise ValueError("the proxy of the environment is not http:// or https://")
    return found


def _address(proxy: SplitResult) -> httpcore.URL:
    assert proxy.hostname is not None, "_proxy checked it"
    port = proxy.port or {"http": 80, "https": 443}[proxy.scheme]
    return httpcore.URL(scheme=proxy.scheme, host=proxy.hostname, port=port, target="/")


def _credentials(proxy: SplitResult) -> tuple[str, str] | None:
    if proxy.username is None:
        return None
    return unquote(proxy.username), unquote(proxy.password or "")
