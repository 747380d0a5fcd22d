"""A core that serves over a real socket, with the Stripe stand-in behind it, for one test."""

import asyncio
import secrets
import time
from base64 import b64encode
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import aiohttp
from google.protobuf.message import Message

from core.database.clock import Clock, MonotonicClock
from core.security.keyring import Keyring
from core.server import composition
from core.server.settings import CoreSettings
from nivisco.internal.v1 import operator_pb2
from nivisco.payments.v1 import business_pb2, cards_pb2, credentials_pb2, types_pb2, users_pb2
from rpc.catalogue import service_methods
from rpc.client import CoreClient
from rpc.metadata import Credentials
from rpc.tls import ClientTls
from sandbox.server import serve as serve_sandbox
from tests.databases import fresh_sqlite

CHARGE = "createTransaction"
"""The name of a charge's request at Authorize.Net."""
OPERATOR_TOKEN = "operator-token-for-tests-" + "0" * 16
SCHEDULER_TOKEN = "scheduler-token-for-tests-" + "0" * 16
WEBHOOKS_TOKEN = "webhooks-token-for-tests-" + "0" * 16
STREAM = "stream"
UNARY = "unary"
TRANSPORTS = (STREAM, UNARY)
"""The ways of calls to a core. A module that runs over both overrides the fixture `transport`."""
METHODS = {method.name: method for method in service_methods()}


def keyring() -> Keyring:
    """Return a keyring of one fresh key."""
    return Keyring.parse("k1:" + b64encode(secrets.token_bytes(32)).decode())


def settings_for(path: Path, **changes: Any) -> CoreSettings:
    """Return settings of a core on a migrated SQLite file, on a free port."""
    settings = CoreSettings(
        database_url=changes.pop("database_url", "") or fresh_sqlite(path / "nivisco.db"),
        keyring=keyring(),
        service_tokens={
            OPERATOR_TOKEN: "operator",
            WEBHOOKS_TOKEN: "webhooks",
            SCHEDULER_TOKEN: "scheduler",
        },
        listen="127.0.0.1:0",
        gateway_timeout_seconds=5.0,
        lame_duck_seconds=0.0,
        migrate=True,
    )
    return replace(settings, **changes)


@asynccontextmanager
async def serving(coroutine_of: Any) -> AsyncIterator[str]:
    """Run `coroutine_of(on_ready)` beside the test until the block ends; give its address."""
    ready: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
    task: asyncio.Future[Any] = asyncio.ensure_future(coroutine_of(ready.set_result))
    await asyncio.wait([task, ready], return_when=asyncio.FIRST_COMPLETED)
    if not ready.done():
        ready.cancel()
        await task
    try:
        yield ready.result()
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@asynccontextmanager
async def running_sandbox(path: Path) -> AsyncIterator[str]:
    """Serve the gateways' stand-in and give its URL."""
    async with serving(lambda ready: serve_sandbox("127.0.0.1", 0, path, ready)) as url:
        yield url


@asynccontextmanager
async def running_core(
    settings: CoreSettings,
    clock: Clock | None = None,
    tls: ClientTls | None = None,
    on_hangup: Callable[[Callable[[], None]], None] | None = None,
    transport: str = STREAM,
    monotonic_clock: MonotonicClock | None = None,
) -> AsyncIterator[CoreClient]:
    """Serve the core and give a client of it; stops it as SIGTERM would.

    By default it does not wait for what other cores keep of their callers: there is no other core.
    """
    stop = asyncio.Event()
    ready: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
    task: asyncio.Future[Any] = asyncio.ensure_future(
        composition.serve(
            settings,
            ready.set_result,
            stop,
            clock,
            on_hangup=on_hangup,
            monotonic_clock=monotonic_clock or SkippingClock(),
        )
    )
    await asyncio.wait([task, ready], return_when=asyncio.FIRST_COMPLETED)
    if not ready.done():
        await task
    token = next(iter(settings.service_tokens)) if transport == STREAM else ""
    client = CoreClient(ready.result(), tls, service_token=token)
    try:
        yield client
    finally:
        stop.set()
        await client.close()
        await task


@dataclass(frozen=True, slots=True)
class Business:
    """A registered business and the way to call the core as it."""

    client: CoreClient
    credentials: Credentials
    stripe_key: str = "sk_test_none"
    login_id: str = ""
    transaction_key: str = field(default="", repr=False)

    async def call(self, request: Message, *, timeout_seconds: float = 25.0) -> Any:
        """Call the method whose request this is."""
        return await call(self.client, self.credentials, request, timeout_seconds=timeout_seconds)


async def call(
    client: CoreClient,
    credentials: Credentials,
    request: Message,
    *,
    timeout_seconds: float = 25.0,
) -> Any:
    """Call the method whose request this is, with these credentials."""
    method = METHODS[request.DESCRIPTOR.name.removesuffix("Request")]
    return await client.call(method, request, credentials, timeout_seconds=timeout_seconds)


async def create_admin(client: CoreClient) -> Credentials:
    """Create the admin business and return its credentials."""
    answer = await call(
        client,
        Credentials(service_token=OPERATOR_TOKEN),
        operator_pb2.CreateAdminRequest(rotate=True),
    )
    return Credentials(answer.business_id, answer.api_key)


async def register(
    client: CoreClient, name: str = "northwind", admin: Credentials | None = None
) -> Business:
    """Register a business, without gateway keys.

    Without `admin`, the admin business is created, or its key rotated, which takes two seconds.
    """
    admin = admin or await create_admin(client)
    answer = await call(
        client,
        admin,
        business_pb2.RegisterBusinessRequest(
            new_business=business_pb2.RegisterBusinessRequest.NewBusiness(
                name=name, email=f"owner@{name}.example.com", domain=f"{name}.example.com"
            )
        ),
    )
    return Business(client, Credentials(answer.business_id, answer.api_key))


async def with_stripe(
    business: Business, env: types_pb2.Env.ValueType = types_pb2.ENV_TEST
) -> Business:
    """Store Stripe keys of a fresh account for the business."""
    word = types_pb2.Env.Name(env).removeprefix("ENV_").lower()
    stripe_key = f"sk_{word}_{secrets.token_hex(8)}_a"
    await business.call(
        credentials_pb2.AddStripeCredentialsRequest(
            credentials=credentials_pb2.AddStripeCredentialsRequest.Credentials(
                env=env, stripe_secret_key=stripe_key, stripe_public_key=f"pk_{word}_obviously_fake"
            )
        )
    )
    return replace(business, stripe_key=stripe_key)


async def with_authorize(
    business: Business, env: types_pb2.Env.ValueType = types_pb2.ENV_TEST
) -> Business:
    """Store Authorize.Net keys of a fresh account for the business."""
    login_id, key = f"login{secrets.token_hex(6)}", secrets.token_hex(8)
    await business.call(
        credentials_pb2.AddAuthorizeCredentialsRequest(
            credentials=credentials_pb2.AddAuthorizeCredentialsRequest.Credentials(
                env=env, api_login_id=login_id, transaction_key=key
            )
        )
    )
    return replace(business, login_id=login_id, transaction_key=key)


async def create_user(business: Business, currency: str = "usd") -> str:
    """Create a user and return the id."""
    answer = await business.call(
        users_pb2.CreateUserRequest(
            user=users_pb2.CreateUserRequest.NewUser(
                name="Alicia Gomez", email="alicia@example.com", currency=currency
            )
        )
    )
    return str(answer.user.user_id)


def authorize_card(
    user_id: str, number: str = "4111111111111111", **more: Any
) -> cards_pb2.CreateAuthorizeCustomerRequest:
    """Return the request that saves a card of the user at Authorize.Net."""
    profile: dict[str, Any] = {
        "exp_month": 12,
        "exp_year": 2060,
        "cvv": "900",
        "postal_code": "77001",
    }
    outer = {name: more.pop(name) for name in list(more) if name not in profile}
    return cards_pb2.CreateAuthorizeCustomerRequest(
        user_id=user_id,
        payment_profile=cards_pb2.CreateAuthorizeCustomerRequest.PaymentProfile(
            card_number=number, **profile | more
        ),
        **outer,
    )


async def save_card(business: Business, user_id: str, token: str = "pm_card_visa") -> Any:
    """Save a card of the user at Stripe."""
    return await business.call(
        cards_pb2.CreateStripeCustomerRequest(user_id=user_id, payment_method_token=token)
    )


class ShiftedClock:
    """The system's time and so much more."""

    def __init__(self) -> None:
        """Begin at the present."""
        self.ahead = timedelta()

    def now(self) -> datetime:
        """Return the present and what it is ahead."""
        return datetime.now(UTC) + self.ahead


class SkippingClock:
    """Monotonic time in which a wait passes at once."""

    def __init__(self) -> None:
        """Begin at 0."""
        self._skipped_seconds = 0.0

    def seconds(self) -> float:
        """Return the seconds that passed or were skipped."""
        return time.monotonic() + self._skipped_seconds

    async def sleep(self, seconds: float) -> None:
        """Skip the seconds."""
        self._skipped_seconds += seconds


class StandingClock(SkippingClock):
    """Time that only passes when the core waits for it."""

    def seconds(self) -> float:
        """Return the seconds that were skipped."""
        return self._skipped_seconds


class HeldClock:
    """Monotonic time that passes when the test says so."""

    def __init__(self) -> None:
        """Begin at 0."""
        self._seconds = 0.0
        self._changed = asyncio.Condition()
        self._sleeping = 0

    def seconds(self) -> float:
        """Return the seconds that passed."""
        return self._seconds

    async def sleep(self, seconds: float) -> None:
        """Return once so many seconds passed."""
        until = self._seconds + seconds
        async with self._changed:
            self._sleeping += 1
            self._changed.notify_all()
            await self._changed.wait_for(lambda: self._seconds >= until)
            self._sleeping -= 1

    async def advance(self, seconds: float) -> None:
        """Let so many seconds pass."""
        async with self._changed:
            self._seconds += seconds
            self._changed.notify_all()

    async def until_sleeping(self, count: int = 1) -> None:
        """Wait until so many tasks sleep."""
        async with asyncio.timeout(20), self._changed:
            await self._changed.wait_for(lambda: self._sleeping >= count)


class Gateway:
    """The stand-in's control endpoint: faults to come, and its own books."""

    def __init__(self, url: str) -> None:
        """Talk to the stand-in at `url`."""
        self.url = url

    async def fault(
        self, kind: str, path: str, times: int = 1, seconds: float = 0, method: str | None = "POST"
    ) -> None:
        """Have the next `times` requests to `path` meet a fault; `method` None means any."""
        match = {"path": path} | ({"method": method} if method else {})
        fault: dict[str, Any] = {"kind": kind, "match": match, "times": times}
        if seconds:
            fault["seconds"] = seconds
        async with (
            aiohttp.ClientSession() as session,
            session.post(f"{self.url}/_sandbox/faults", json=fault) as answer,
        ):
            assert answer.status < 300, await answer.text()

    async def revoke(self, key: str, *, revoked: bool = True) -> None:
        """Have the gateway refuse a secret key, or take it again."""
        async with (
            aiohttp.ClientSession() as session,
            session.post(
                f"{self.url}/_sandbox/keys", json={"key": key, "revoked": revoked}
            ) as answer,
        ):
            assert answer.status < 300

    async def control(self, path: str, **body: Any) -> dict[str, Any]:
        """Post to one of the stand-in's control endpoints, below `/_sandbox/`."""
        async with (
            aiohttp.ClientSession() as session,
            session.post(f"{self.url}/_sandbox/{path}", json=body) as answer,
        ):
            assert answer.status < 300, await answer.text()
            return dict(await answer.json())

    async def read(self, path: str, key: str) -> dict[str, Any]:
        """Return an object of Stripe's API, read with a secret key."""
        async with (
            aiohttp.ClientSession() as session,
            session.get(f"{self.url}/{path}", headers={"Authorization": f"Bearer {key}"}) as answer,
        ):
            assert answer.status == 200, await answer.text()
            return dict(await answer.json())

    async def authorize(self, what: str, **body: Any) -> None:
        """Tell the stand-in's Authorize.Net something: `reports`, `duplicates`, `transactions`."""
        async with (
            aiohttp.ClientSession() as session,
            session.post(f"{self.url}/_sandbox/authorize/{what}", json=body) as answer,
        ):
            assert answer.status < 300, await answer.text()

    async def authorize_fault(
        self, kind: str, request: str = CHARGE, times: int = 1, seconds: float = 0
    ) -> None:
        """Have the next `times` requests of a kind to Authorize.Net meet a fault."""
        match = {"request": f"{request}Request"}
        fault: dict[str, Any] = {"kind": kind, "match": match, "times": times}
        if seconds:
            fault["seconds"] = seconds
        async with (
            aiohttp.ClientSession() as session,
            session.post(f"{self.url}/_sandbox/faults", json=fault) as answer,
        ):
            assert answer.status < 300, await answer.text()

    async def struck(self) -> int:
        """Return how many requests have met a fault."""
        async with (
            aiohttp.ClientSession() as session,
            session.get(f"{self.url}/_sandbox/faults") as answer,
        ):
            return int((await answer.json())["struck"])

    async def authorize_books(self, login_id: str) -> dict[str, list[dict[str, Any]]]:
        """Return the customers, cards and transactions of an Authorize.Net account."""
        async with (
            aiohttp.ClientSession() as session,
            session.get(
                f"{self.url}/_sandbox/books", params={"account": f"authorize:{login_id}"}
            ) as answer,
        ):
            books = (await answer.json())["books"]
        return books[0] if books else {"customers": [], "cards": [], "transactions": []}

    async def authorize_charges(self, login_id: str) -> list[dict[str, Any]]:
        """Return the transactions of an Authorize.Net account that will settle, or did."""
        return [
            each
            for each in (await self.authorize_books(login_id))["transactions"]
            if each["status"] in ("capturedPendingSettlement", "settledSuccessfully")
        ]

    async def wait_until_holding(self, count: int) -> None:
        """Wait until a delay holds so many requests."""
        async with asyncio.timeout(20), aiohttp.ClientSession() as session:
            while True:
                async with session.get(f"{self.url}/_sandbox/faults") as answer:
                    if (await answer.json())["holding"] >= count:
                        return

    async def clear(self) -> None:
        """Take back the faults that are still to come, and let go what a delay holds."""
        async with (
            aiohttp.ClientSession() as session,
            session.delete(f"{self.url}/_sandbox/faults") as answer,
        ):
            assert answer.status == 200

    async def books(self) -> list[dict[str, Any]]:
        """Return all that the stand-in's books hold, by account."""
        async with (
            aiohttp.ClientSession() as session,
            session.get(f"{self.url}/_sandbox/books") as answer,
        ):
            return list((await answer.json())["books"])

    async def charges(self, account: str | None = None) -> list[dict[str, Any]]:
        """Return the charges that the stand-in's books show as succeeded; all, or an account's."""
        only = {"account": account} if account else None
        async with (
            aiohttp.ClientSession() as session,
            session.get(f"{self.url}/_sandbox/books", params=only) as answer,
        ):
            books = (await answer.json())["books"]
        return [
            charge
            for account in books
            for charge in account["charges"]
            if charge["status"] == "succeeded"
        ]
