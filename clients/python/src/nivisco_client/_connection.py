"""The HTTP connections of a client, blocking and asynchronous. No redirect is followed."""

import asyncio
import ipaddress
import time
import uuid
from collections.abc import Mapping
from types import TracebackType
from typing import Self

import httpx

from ._call import Call, Read, Result
from .errors import ApiError, NiviscoError, UnexpectedResponse

TIMEOUT_SECONDS = 30.0
"""Timeout of one call with all its attempts, as the API reference recommends."""


class _Account:
    """URL and credentials of the calls."""

    def __init__(
        self,
        url: str,
        business_id: str,
        api_key: str,
        timeout_seconds: float,
        *,
        allow_plain_http: bool,
    ) -> None:
        self._url = _checked(url, allow_plain_http=allow_plain_http)
        self._business_id = business_id
        self._api_key = api_key
        self._timeout_seconds = timeout_seconds

    def __repr__(self) -> str:
        return f"{type(self).__name__}(url={str(self._url)!r}, business_id={self._business_id!r})"

    def _begin(
        self, action: str, payload: Mapping[str, object], idempotency_key: str | None
    ) -> Call:
        credentials = {"business_id": self._business_id, "api_key": self._api_key}
        return Call(credentials, action, payload, idempotency_key, self._timeout_seconds)


class Connection(_Account):
    """Sends the calls of the blocking client."""

    def __init__(
        self,
        url: str,
        business_id: str,
        api_key: str,
        timeout_seconds: float,
        *,
        allow_plain_http: bool,
    ) -> None:
        super().__init__(
            url, business_id, api_key, timeout_seconds, allow_plain_http=allow_plain_http
        )
        self._http = httpx.Client()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections. No calls are possible afterwards."""
        self._http.close()

    def _read(self, action: str, payload: Mapping[str, object], read: Read[Result]) -> Result:
        return self._send(self._begin(action, payload, None), read)

    def _change(
        self,
        action: str,
        payload: Mapping[str, object],
        read: Read[Result],
        idempotency_key: str | None,
    ) -> Result:
        return self._send(self._begin(action, payload, _key(idempotency_key)), read)

    def _send(self, call: Call, read: Read[Result]) -> Result:
        while True:
            problem: NiviscoError
            try:
                response = self._http.post(
                    self._url, content=call.content, headers=call.headers, timeout=call.timeout()
                )
                return call.result(response, read)
            except (ApiError, UnexpectedResponse) as failure:
                problem = failure
            except httpx.RequestError as error:
                problem = call.lost(error)
            time.sleep(call.pause_after(problem))


class AsyncConnection(_Account):
    """Sends the calls of the asynchronous client."""

    def __init__(
        self,
        url: str,
        business_id: str,
        api_key: str,
        timeout_seconds: float,
        *,
        allow_plain_http: bool,
    ) -> None:
        super().__init__(
            url, business_id, api_key, timeout_seconds, allow_plain_http=allow_plain_http
        )
        self._http = httpx.AsyncClient()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections. No calls are possible afterwards."""
        await self._http.aclose()

    async def _read(self, action: str, payload: Mapping[str, object], read: Read[Result]) -> Result:
        return await self._send(self._begin(action, payload, None), read)

    async def _change(
        self,
        action: str,
        payload: Mapping[str, object],
        read: Read[Result],
        idempotency_key: str | None,
    ) -> Result:
        return await self._send(self._begin(action, payload, _key(idempotency_key)), read)

    async def _send(self, call: Call, read: Read[Result]) -> Result:
        while True:
            problem: NiviscoError
            try:
                response = await self._http.post(
                    self._url, content=call.content, headers=call.headers, timeout=call.timeout()
                )
                return call.result(response, read)
            except (ApiError, UnexpectedResponse) as failure:
                problem = failure
            except httpx.RequestError as error:
                problem = call.lost(error)
            await asyncio.sleep(call.pause_after(problem))


def _key(own: str | None) -> str:
    return str(uuid.uuid4()) if own is None else own


def _checked(url: str, *, allow_plain_http: bool) -> httpx.URL:
    try:
        parsed = httpx.URL(url)
    except httpx.InvalidURL as error:
        raise ValueError(f"not a URL: {error}") from None
    if parsed.scheme not in {"http", "https"} or not parsed.host or parsed.userinfo:
        raise ValueError("the URL must be https://host, without a user or password in it")
    if parsed.scheme == "http" and not allow_plain_http and not _is_loopback(parsed.host):
        raise ValueError(
            "plain http sends the API key in the clear: use https, or allow_plain_http=True "
            "where the network is your own"
        )
    return parsed


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
