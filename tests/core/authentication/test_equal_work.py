"""Wrong credentials of every kind cost the same work, so that time tells nothing about them."""

import hmac
from collections import Counter
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any

import pytest
from sqlalchemy import update

from core.authentication import service as authenticating
from core.authentication.service import AuthenticationService
from core.business import known_callers
from core.business.api_keys import ApiKeys
from core.business.known_callers import KnownCallers
from core.business.service import BusinessService
from core.database.migrations.upgrade import migrate
from core.database.schema import businesses
from core.database.transactions import Database
from core.errors import Refusal
from tests.core.database.recording import recorded

ACTION = "ChangeApiKey"


@dataclass(frozen=True)
class Work:
    """What refusing some credentials took."""

    statements: list[str]
    computed: Counter[str]
    refusal: tuple[object, str]


@dataclass(frozen=True)
class Credentials:
    """Credentials that are refused."""

    business_id: str
    api_key: str


@dataclass(frozen=True)
class Refusing:
    """A service and wrong credentials by what is wrong with them."""

    service: AuthenticationService
    wrong: dict[str, Credentials]
    computed: Counter[str]

    async def work(self, credentials: Credentials, *, is_retired: bool) -> Work:
        """Have credentials refused, as those of a call or of the repetition of a key's change."""
        self.computed.clear()
        with recorded() as executed, pytest.raises(Refusal) as refused:
            await self.service.authenticate(credentials.business_id, credentials.api_key)
        if is_retired:
            with recorded() as repeated, pytest.raises(Refusal) as refused:
                await self.service.authenticate_retired(
                    credentials.business_id,
                    credentials.api_key,
                    action=ACTION,
                    idempotency_key="one",
                )
            executed += repeated
        refusal = (refused.value.reason, str(refused.value))
        return Work([each.text for each in executed], self.computed.copy(), refusal)


def counted(computed: Counter[str], name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    def run(*arguments: Any) -> Any:
        computed[name] += 1
        return function(*arguments)

    return run


@pytest.fixture
async def refusing(database_url: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Refusing]:
    """Businesses with a wrong key, a revoked one, and one that is inactive."""
    database = Database(database_url)
    await migrate(database)
    callers = KnownCallers(database)
    business, api_keys = BusinessService(database, callers), ApiKeys(database, callers)
    issued = {}
    for name in ("northwind", "inactive"):
        domain = f"{name}.example.com"
        _, issued[name] = await business.register(name=name, email=f"a@{domain}", domain=domain)
    caller = await callers.find(issued["northwind"].business_id, issued["northwind"].api_key)
    assert caller is not None
    changed = await api_keys.change(caller)
    async with database.transaction() as transaction:
        await transaction.connection.execute(
            update(businesses)
            .where(businesses.c.business_id == issued["inactive"].business_id)
            .values(active=False)
        )
    computed: Counter[str] = Counter()
    for module in (known_callers, authenticating):
        hashing = counted(computed, "hash", module.hash_api_key)
        monkeypatch.setattr(module, "hash_api_key", hashing)
    monkeypatch.setattr(hmac, "compare_digest", counted(computed, "compare", hmac.compare_digest))
    wrong = {
        "unknown business": Credentials("0" * 36, "f" * 64),
        "unknown business, key of another": Credentials("0" * 36, changed.api_key),
        "wrong key": Credentials(changed.business_id, "f" * 64),
        "replaced key": Credentials(changed.business_id, issued["northwind"].api_key),
        "inactive": Credentials(issued["inactive"].business_id, issued["inactive"].api_key),
    }
    yield Refusing(AuthenticationService(database, callers, {}), wrong, computed)
    await database.close()


@pytest.mark.parametrize("is_retired", [False, True])
async def test_every_refusal_takes_the_same_statements_and_digests(
    refusing: Refusing, *, is_retired: bool
) -> None:
    first, *others = [
        await refusing.work(each, is_retired=is_retired) for each in refusing.wrong.values()
    ]
    assert len(first.statements) == (3 if is_retired else 1)
    assert first.computed["compare"] >= 2
    for name, other in zip(list(refusing.wrong)[1:], others, strict=True):
        assert other == first, name
