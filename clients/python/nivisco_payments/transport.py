"""Sends calls by HTTP, blocking or with asyncio, and again where that is safe and has a use."""

import asyncio
import time
from typing import Any, Mapping, Type, TypeVar

import httpx

from .calls import Call, Settings
from .errors import NiviscoError
from .reading import read
from .version import VERSION

T = TypeVar("T")
_HEADERS = {"Content-Type": "application/json", "User-Agent": f"nivisco-python/{VERSION}"}


class Transport:
    """Blocking. It may be shared by threads."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        # No proxy for plain http: it would read the API key.
        self._http = httpx.Client(headers=_HEADERS, trust_env=not settings.is_plain)

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def call(self, action: str, fields: Mapping[str, Any], kind: Type[T], *, mutates: bool) -> T:
        """Call an action and return its result."""
        call = Call(self._settings, action, fields, mutates=mutates)
        while True:
            try:
                return read(kind, self._attempt(call))
            except NiviscoError as error:
                pause = call.pause_after(error)
            time.sleep(pause)

    def _attempt(self, call: Call) -> Mapping[str, Any]:
        left = call.begin_attempt()
        try:
            with self._http.stream(
                "POST", self._settings.base_url, content=call.body, timeout=left
            ) as answer:
                content = b""
                for part in answer.iter_bytes():
                    content += part
                    if call.is_late:
                        raise call.no_answer("the answer took too long")
        except httpx.HTTPError as error:
            # Not chained: the exception holds the request, and that the API key.
            raise call.no_answer(f"no answer came: {type(error).__name__}") from None
        return call.answer(answer.status_code, content, answer.headers)


class AsyncTransport:
    """For asyncio."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._http = httpx.AsyncClient(headers=_HEADERS, trust_env=not settings.is_plain)

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def call(
        self, action: str, fields: Mapping[str, Any], kind: Type[T], *, mutates: bool
    ) -> T:
        """Call an action and return its result."""
        call = Call(self._settings, action, fields, mutates=mutates)
        while True:
            try:
                return read(kind, await self._attempt(call))
            except NiviscoError as error:
                pause = call.pause_after(error)
            await asyncio.sleep(pause)

    async def _attempt(self, call: Call) -> Mapping[str, Any]:
        left = call.begin_attempt()
        sending = self._http.post(self._settings.base_url, content=call.body, timeout=left)
        try:
            answer = await asyncio.wait_for(sending, left)
        except (httpx.HTTPError, asyncio.TimeoutError) as error:
            raise call.no_answer(f"no answer came: {type(error).__name__}") from None
        return call.answer(answer.status_code, answer.content, answer.headers)
