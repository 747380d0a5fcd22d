"""The HTTP connections of a client, blocking and asynchronous. No redirect is followed."""

import asyncio
import time
import uuid
from collections.abc import Mapping
from types import TracebackType
from typing import Self

from ._call import LOST, Call, Read, Result
from ._transport import Deadlines, asynchronous_pool, blocking_pool, checked
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
        self._url = checked(url, allow_plain_http=allow_plain_http)
        self._business_id = business_id
        self._api_key = api_key
        self._timeout_seconds = timeout_seconds

    def __repr__(self) -> str:
        return f"{type(self).__name__}(url={self._url!r}, business_id={self._business_id!r})"

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
        self._deadlines = Deadlines()
        self._http = blocking_pool(self._url, self._deadlines)

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
                self._deadlines.set(call.deadline)
                response = self._http.request(
                    "POST",
                    self._url,
                    headers=call.headers,
                    content=call.content,
                    extensions=call.begin_attempt() | {"trace": call.trace},
                )
                return call.result(response, read)
            except (ApiError, UnexpectedResponse) as failure:
                problem = failure
            except LOST as error:
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
        self._http = asynchronous_pool(self._url)

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
                async with asyncio.timeout(call.left()):
                    response = await self._http.request(
                        "POST",
                        self._url,
                        headers=call.headers,
                        content=call.content,
                        extensions=call.begin_attempt() | {"trace": call.trace_async},
                    )
                return call.result(response, read)
            except (ApiError, UnexpectedResponse) as failure:
                problem = failure
            except LOST as error:
                problem = call.lost(error)
            await asyncio.sleep(call.pause_after(problem))


def _key(own: str | None) -> str:
    return str(uuid.uuid4()) if own is None else own
