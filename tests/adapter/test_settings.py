"""Settings from the environment."""

import pytest

from adapter.settings import AdapterSettings


def test_an_empty_environment_gives_the_defaults() -> None:
    assert AdapterSettings.from_environment({}) == AdapterSettings(
        "127.0.0.1", 8080, "127.0.0.1:50051", 25.0, 1024, 10.0, lame_duck_seconds=1.0
    )


def test_every_setting_has_a_variable() -> None:
    environ = {
        "NIVISCO_HTTP": "0.0.0.0:0",
        "NIVISCO_CORE": "unix:/run/core.sock",
        "NIVISCO_CORE_TIMEOUT_SECONDS": "2.5",
        "NIVISCO_HTTP_MAX_IN_FLIGHT": "7",
        "NIVISCO_HTTP_BODY_TIMEOUT_SECONDS": "3",
        "NIVISCO_LAME_DUCK_SECONDS": "0",
        "NIVISCO_METRICS": "[::]:9464",
        "NIVISCO_WEBHOOK_FAILURES_PER_MINUTE": "5",
    }
    assert AdapterSettings.from_environment(environ) == AdapterSettings(
        "0.0.0.0",  # noqa: S104 - a setting, nothing listens here
        0,
        "unix:/run/core.sock",
        2.5,
        7,
        3.0,
        webhook_failures_per_minute=5,
        lame_duck_seconds=0.0,
        metrics=("::", 9464),
    )


def test_an_empty_variable_counts_as_absent() -> None:
    assert AdapterSettings.from_environment({"NIVISCO_HTTP": ""}) == AdapterSettings()


def test_an_ipv6_address_is_in_brackets() -> None:
    settings = AdapterSettings.from_environment({"NIVISCO_HTTP": "[::1]:8080"})
    assert (settings.host, settings.port) == ("::1", 8080)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("NIVISCO_HTTP", "8080"),
        ("NIVISCO_HTTP", ":8080"),
        ("NIVISCO_HTTP", "host:"),
        ("NIVISCO_HTTP", "host:x"),
        ("NIVISCO_HTTP", "host:-1"),
        ("NIVISCO_HTTP", "host:65536"),
        ("NIVISCO_HTTP", "host:9999999999"),
        ("NIVISCO_CORE", "core-1:1,core-2:1"),
        ("NIVISCO_CORE", "nowhere"),
        ("NIVISCO_LAME_DUCK_SECONDS", "-1"),
        ("NIVISCO_METRICS", "9464"),
        ("NIVISCO_LAME_DUCK_SECONDS", "301"),
        ("NIVISCO_CORE_TIMEOUT_SECONDS", "soon"),
        ("NIVISCO_CORE_TIMEOUT_SECONDS", "0"),
        ("NIVISCO_CORE_TIMEOUT_SECONDS", "-1"),
        ("NIVISCO_CORE_TIMEOUT_SECONDS", "nan"),
        ("NIVISCO_CORE_TIMEOUT_SECONDS", "inf"),
        ("NIVISCO_HTTP_BODY_TIMEOUT_SECONDS", "x"),
        ("NIVISCO_WEBHOOK_FAILURES_PER_MINUTE", "0"),
        ("NIVISCO_HTTP_MAX_IN_FLIGHT", "0"),
        ("NIVISCO_HTTP_MAX_IN_FLIGHT", "1.5"),
        ("NIVISCO_HTTP_MAX_IN_FLIGHT", "99999999999"),
    ],
)
def test_a_wrong_value_is_an_error_that_names_the_variable(name: str, value: str) -> None:
    with pytest.raises(ValueError, match=name):
        AdapterSettings.from_environment({name: value})
