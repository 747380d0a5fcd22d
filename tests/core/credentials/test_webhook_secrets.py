"""Webhook secrets in memory: how often they are read, and how soon a change is seen."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from core.business.known_callers import KnownCallers
from core.business.service import BusinessService
from core.caller import Caller
from core.credentials import webhook_secrets
from core.credentials.service import CredentialsService
from core.credentials.webhook_secrets import (
    LIFETIME,
    READ_GAP_SECONDS,
    READ_SIZE,
    RECHECK_AFTER,
    SecretsKey,
    WebhookSecrets,
    WebhookSecretsCache,
)
from core.database.migrations.upgrade import migrate
from core.database.transactions import Database, DatabaseUnavailableError
from core.security.secrets import Secret
from tests.core.running import keyring

KEY = SecretsKey("a", "stripe")
SECOND = timedelta(seconds=1)


class Store:
    """Secrets as stored, a clock, and what was read and waited for."""

    def __init__(self) -> None:
        self.now = datetime(2026, 1, 1, tzinfo=UTC)
        self.stored: dict[SecretsKey, str] = {}
        self.unreadable: dict[SecretsKey, str] = {}
        self.reads: list[Sequence[SecretsKey]] = []
        self.pauses: list[float] = []
        self.may_end = asyncio.Event()
        self.may_end.set()
        self.failure: Exception | None = None
        self.cache = WebhookSecretsCache(self.read, lambda: self.now, self.pause)

    async def read(self, keys: Sequence[SecretsKey]) -> list[WebhookSecrets]:
        self.reads.append(keys)
        found = [self._secrets(key) for key in keys]
        await self.may_end.wait()
        if self.failure:
            raise self.failure
        return found

    def _secrets(self, key: SecretsKey) -> WebhookSecrets:
        return WebhookSecrets(
            self.now,
            (("TEST", Secret(self.stored[key])),) if key in self.stored else (),
            (("LIVE", self.unreadable[key]),) if key in self.unreadable else (),
        )

    async def pause(self, seconds: float) -> None:
        self.pauses.append(seconds)

    async def get(self, key: SecretsKey = KEY, max_age: timedelta = LIFETIME) -> str | None:
        secrets = await self.cache.get(key, max_age=max_age)
        return secrets.by_env[0][1].reveal() if secrets.by_env else None


@pytest.fixture
async def store() -> Store:
    return Store()


@pytest.mark.parametrize("is_known", [True, False])
@pytest.mark.parametrize(
    ("passed", "max_age", "reads"),
    [
        (timedelta(), LIFETIME, 1),
        (RECHECK_AFTER, RECHECK_AFTER, 1),
        (RECHECK_AFTER + SECOND, RECHECK_AFTER, 2),
        (RECHECK_AFTER + SECOND, LIFETIME, 1),
        (LIFETIME, LIFETIME, 1),
        (LIFETIME + SECOND, LIFETIME, 2),
        (-timedelta(hours=1), LIFETIME, 2),  # the clock was set back
    ],
)
async def test_secrets_are_read_again_when_they_are_too_old(
    store: Store, is_known: bool, passed: timedelta, max_age: timedelta, reads: int
) -> None:
    if is_known:
        store.stored[KEY] = "whsec"
    assert await store.get() == store.stored.get(KEY)
    store.now += passed
    assert await store.get(max_age=max_age) == store.stored.get(KEY)
    assert len(store.reads) == reads


async def test_secrets_are_read_once_for_all_that_wait(store: Store) -> None:
    await asyncio.gather(*(store.get() for _ in range(1000)))
    assert store.reads == [[KEY]]


async def test_made_up_ids_are_read_together_and_displace_no_secret(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(webhook_secrets, "KNOWN_MAX", 2)
    monkeypatch.setattr(webhook_secrets, "UNKNOWN_MAX", 10)
    known = [SecretsKey(name, "stripe") for name in "ab"]
    store.stored = dict.fromkeys(known, "whsec")
    for key in known:
        await store.get(key)
    store.reads.clear()
    made_up = [SecretsKey(f"made-up-{number}", "stripe") for number in range(1000)]
    await asyncio.gather(*(store.get(key) for key in made_up))
    assert [len(keys) for keys in store.reads] == [READ_SIZE] * 3 + [1000 - 3 * READ_SIZE]
    assert len(store.cache._unknown) == 10
    for key in known:
        assert await store.get(key) == "whsec"
    assert len(store.reads) == 4


async def test_reads_in_a_row_keep_their_distance(store: Store) -> None:
    for number in range(5):
        await store.get(SecretsKey(f"made-up-{number}", "stripe"))
    assert len(store.reads) == 5
    assert len(store.pauses) == 4
    assert all(0 < pause <= READ_GAP_SECONDS for pause in store.pauses)


async def test_the_secrets_used_last_are_kept(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(webhook_secrets, "KNOWN_MAX", 2)
    first, second, third = (SecretsKey(name, "stripe") for name in "abc")
    store.stored = dict.fromkeys((first, second, third), "whsec")
    for key in (first, second, first, third, first):
        await store.get(key)
    assert [list(keys) for keys in store.reads] == [[first], [second], [third]]


async def test_forgotten_secrets_are_read_again(store: Store) -> None:
    store.stored[KEY] = "old"
    await store.get()
    store.stored[KEY] = "new"
    store.cache.forget(KEY)
    assert await store.get() == "new"


async def test_a_read_that_began_before_a_change_is_not_kept(store: Store) -> None:
    store.stored[KEY] = "old"
    store.may_end.clear()
    before = asyncio.create_task(store.get())
    while not store.reads:
        await asyncio.sleep(0)
    store.stored[KEY] = "new"
    store.cache.forget(KEY)
    after = asyncio.create_task(store.get())
    await asyncio.sleep(0)
    store.may_end.set()
    assert [await before, await after, await store.get()] == ["old", "new", "new"]
    assert len(store.reads) == 2


async def test_a_failed_read_is_not_kept(store: Store) -> None:
    store.failure = DatabaseUnavailableError("away")
    ends = await asyncio.gather(*(store.get() for _ in range(3)), return_exceptions=True)
    assert ends == [store.failure] * 3
    store.failure = None
    assert await store.get() is None
    assert store.cache._reading == {}


async def test_a_secret_that_does_not_open_is_logged_once(
    store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    store.stored[KEY] = "whsec_hidden"
    store.unreadable[KEY] = "no key 'b2'"
    for _ in range(3):
        await store.get()
        store.now += LIFETIME * 2
    store.unreadable[KEY] = "damaged"
    await store.get()
    lines = [vars(record) for record in caplog.records]
    assert {line["message"] for line in lines} == {"webhook secret does not open"}
    assert [(line["env"], line["reason"]) for line in lines] == [
        ("LIVE", "no key 'b2'"),
        ("LIVE", "damaged"),
    ]
    assert "whsec_hidden" not in repr(await store.cache.get(KEY, max_age=LIFETIME))


async def test_changed_credentials_are_forgotten_when_their_transaction_ends(
    database_url: str, tmp_path: Path
) -> None:
    """The outer transaction of a call with an idempotency key commits after the use case."""
    del tmp_path
    database = Database(database_url)
    await migrate(database)
    known_callers = KnownCallers(database)
    issued = await BusinessService(database, known_callers).create_admin(rotate=False)
    caller = Caller(issued.business_id, "TEST", "")
    credentials = CredentialsService(database, keyring(), known_callers)
    key = SecretsKey(caller.business_id, "stripe")

    async def stored() -> list[str]:
        secrets = await credentials.webhook_secrets.get(key, max_age=LIFETIME)
        return [secret.reveal() for _, secret in secrets.by_env]

    assert await stored() == []
    keys = {"stripe_secret_key": "sk_test_a", "stripe_public_key": "pk_test_a"}
    async with database.shared_transaction("test"):
        await credentials.add(caller, "stripe", "TEST", keys | {"stripe_webhook_secret": "one"})
        assert key in credentials.webhook_secrets._unknown
    assert await stored() == ["one"]
    await credentials.modify(caller, "stripe", "TEST", {"stripe_webhook_secret": "two"})
    assert await stored() == ["two"]
    await credentials.modify(caller, "stripe", "TEST", {"stripe_webhook_secret": None})
    assert await stored() == []
    await database.close()
