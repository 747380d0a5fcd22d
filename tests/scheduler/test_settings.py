"""How the environment becomes settings, and that a wrong value is named."""

import pytest

from scheduler.settings import SchedulerSettings

TOKEN = {"NIVISCO_SERVICE_TOKEN": "t" * 64}


def test_a_token_alone_gives_the_defaults_and_is_not_in_repr() -> None:
    settings = SchedulerSettings.from_environment(TOKEN)
    assert settings == SchedulerSettings("t" * 64)
    assert "ttt" not in repr(settings)


def test_every_setting_can_be_given() -> None:
    environ = TOKEN | {
        "NIVISCO_CORE": "unix:/run/core.sock",
        "NIVISCO_CORE_TIMEOUT_SECONDS": "2.5",
        "NIVISCO_DRAIN_SECONDS": "3",
        "NIVISCO_SCHEDULER_HTTP": "[::1]:0",
        "NIVISCO_SCHEDULER_POLL_SECONDS": "0.5",
        "NIVISCO_SCHEDULER_LEASE_SECONDS": "60",
        "NIVISCO_SCHEDULER_CONCURRENCY": "7",
        "NIVISCO_SCHEDULER_PER_BUSINESS": "2",
    }
    assert SchedulerSettings.from_environment(environ) == SchedulerSettings(
        service_token="t" * 64,
        core_target="unix:/run/core.sock",
        core_timeout_seconds=2.5,
        host="::1",
        port=0,
        poll_seconds=0.5,
        lease_seconds=60.0,
        concurrency=7,
        per_business=2,
        drain_seconds=3.0,
    )


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("NIVISCO_SERVICE_TOKEN", ""),
        ("NIVISCO_CORE", "nowhere"),
        ("NIVISCO_SCHEDULER_HTTP", "8081"),
        ("NIVISCO_METRICS", "8081"),
        ("NIVISCO_SCHEDULER_POLL_SECONDS", "0"),
        ("NIVISCO_SCHEDULER_LEASE_SECONDS", "2.9"),
        ("NIVISCO_SCHEDULER_LEASE_SECONDS", "301"),
        ("NIVISCO_SCHEDULER_CONCURRENCY", "0"),
        ("NIVISCO_SCHEDULER_PER_BUSINESS", "many"),
        ("NIVISCO_DRAIN_SECONDS", "-1"),
        ("NIVISCO_CORE_TIMEOUT_SECONDS", "soon"),
        ("NIVISCO_CORE_TLS_KEY_FILE", "key.pem"),
    ],
)
def test_a_wrong_value_is_refused_by_its_name(name: str, value: str) -> None:
    with pytest.raises(ValueError, match=name):
        SchedulerSettings.from_environment(TOKEN | {name: value})


def test_the_address_of_metrics_is_that_of_every_process_or_else_the_scheduler_s_own() -> None:
    own = {"NIVISCO_SCHEDULER_HTTP": "127.0.0.1:1"}
    settings = SchedulerSettings.from_environment(TOKEN | own | {"NIVISCO_METRICS": "0.0.0.0:2"})
    assert (settings.host, settings.port) == ("0.0.0.0", 2)  # noqa: S104
    settings = SchedulerSettings.from_environment(TOKEN | own)
    assert (settings.host, settings.port) == ("127.0.0.1", 1)
