"""Unusable settings are refused by their name."""

import pytest

from core.server.settings import CoreSettings

GOOD = {
    "NIVISCO_DATABASE_URL": "sqlite:////x/n.db",
    "NIVISCO_SECRET_KEYS": "k1:" + "A" * 43 + "=",
}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"NIVISCO_DATABASE_URL": ""}, "NIVISCO_DATABASE_URL is not set"),
        ({"NIVISCO_SECRET_KEYS": ""}, "NIVISCO_SECRET_KEYS is not set"),
        ({"NIVISCO_SECRET_KEYS": "x"}, "NIVISCO_SECRET_KEYS: key 1"),
        ({"NIVISCO_SERVICE_TOKENS": "boss:" + "t" * 40}, "entry 1 is not <scope>:<token>"),
        ({"NIVISCO_SERVICE_TOKENS": "operator:short"}, "entry 1 is not <scope>:<token>"),
        ({"NIVISCO_STRIPE_TEST_URL": "ftp://x"}, "NIVISCO_STRIPE_TEST_URL is not an http"),
        (
            {"NIVISCO_STRIPE_TEST_URL": "https://u:canary@x"},
            "NIVISCO_STRIPE_TEST_URL must have no user or password$",
        ),
        ({"NIVISCO_AUTHORIZE_LIVE_URL": "x"}, "NIVISCO_AUTHORIZE_LIVE_URL is not an http"),
        ({"NIVISCO_GATEWAY_TIMEOUT_SECONDS": "soon"}, "NIVISCO_GATEWAY_TIMEOUT_SECONDS is not"),
        ({"NIVISCO_GATEWAY_TIMEOUT_SECONDS": "nan"}, "NIVISCO_GATEWAY_TIMEOUT_SECONDS is not"),
        ({"NIVISCO_AUTHORIZE_SETTLE_SECONDS": "x"}, "NIVISCO_AUTHORIZE_SETTLE_SECONDS is not"),
        ({"NIVISCO_AUTHORIZE_SETTLE_SECONDS": "20"}, "SETTLE_SECONDS must be more than NIVISCO_GA"),
        ({"NIVISCO_DRAIN_SECONDS": "0"}, "NIVISCO_DRAIN_SECONDS is not"),
        ({"NIVISCO_DRAIN_SECONDS": "3601"}, "above 0 and at most 3600"),
        (
            {"NIVISCO_KEEP_ANSWERS_DAYS": "0"},
            "NIVISCO_KEEP_ANSWERS_DAYS is not a whole",
        ),
        ({"NIVISCO_KEEP_ANSWERS_DAYS": "31"}, "from 1 to 30"),
        ({"NIVISCO_KEEP_IGNORED_EVENTS_DAYS": "29"}, "a whole number from 30 to 3650"),
        ({"NIVISCO_LAME_DUCK_SECONDS": "-1"}, "NIVISCO_LAME_DUCK_SECONDS is not"),
        ({"NIVISCO_METRICS": "9464"}, "NIVISCO_METRICS must be host:port"),
        ({"NIVISCO_LAME_DUCK_SECONDS": "x"}, "SECONDS is not a number of seconds from 0"),
        ({"NIVISCO_DATABASE_POOL": "0"}, "NIVISCO_DATABASE_POOL is not a whole number from 1"),
        ({"NIVISCO_DATABASE_POOL": "ten"}, "NIVISCO_DATABASE_POOL is not"),
        ({"NIVISCO_DATABASE_POOL": "1001"}, "NIVISCO_DATABASE_POOL is not"),
        ({"NIVISCO_DATABASE_LIST_POOL": "0"}, "NIVISCO_DATABASE_LIST_POOL is not a whole number"),
    ],
)
def test_an_unusable_setting_is_refused(changes: dict[str, str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        CoreSettings.from_environment(GOOD | changes)


def test_the_defaults_reach_the_real_gateway_on_loopback() -> None:
    settings = CoreSettings.from_environment(GOOD)
    assert settings.listen == "127.0.0.1:50051"
    assert (settings.database_pool, settings.database_list_pool) == (10, 3)
    assert settings.stripe_urls == {
        "TEST": "https://api.stripe.com",
        "LIVE": "https://api.stripe.com",
    }
