"""What only PostgreSQL can do to a core: refuse, crash, come back."""

from pathlib import Path

import pytest
from sqlalchemy.engine import make_url

from core.client import CoreError
from core.database import Database, DatabaseUnavailableError
from nivisco.payments.v1 import authentication_pb2
from tests.core.running import register, running_core, settings_for
from tests.databases import own_postgresql


def changed(url: str, **changes: str | int) -> str:
    return make_url(url).set(**changes).render_as_string(hide_password=False)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"database": "nope"}, 'database "nope" does not exist'),
        ({"username": "nobody", "password": "obviously-fake"}, 'role "nobody" does not exist'),
    ],
)
async def test_what_the_server_refuses_is_told_without_the_password(
    postgresql: str, changes: dict[str, str | int], told: str
) -> None:
    database = Database(changed(postgresql, **changes))
    with pytest.raises(DatabaseUnavailableError, match=told) as refused:
        await database.ping()
    assert "obviously-fake" not in str(refused.value)
    await database.close()


async def test_a_server_that_is_not_there_is_told() -> None:
    database = Database("postgresql://u:obviously-fake@127.0.0.1:9/x")
    with pytest.raises(DatabaseUnavailableError, match="Connect call failed") as refused:
        await database.ping()
    assert "obviously-fake" not in str(refused.value)
    await database.close()


async def test_a_database_that_crashes_is_503_and_comes_back_by_itself(tmp_path: Path) -> None:
    with own_postgresql() as server:
        settings = settings_for(tmp_path, database_url=server.url)
        async with running_core(settings) as client:
            business = await register(client)
            validate = authentication_pb2.ValidateBusinessRequest()
            await business.call(validate)
            server.kill()
            for _ in range(3):
                with pytest.raises(CoreError) as away:
                    await business.call(validate, timeout_seconds=5)
                assert away.value.reason == "SERVICE_UNAVAILABLE"
                assert away.value.retry_after_seconds == 1
            server.start()
            await business.call(validate)
