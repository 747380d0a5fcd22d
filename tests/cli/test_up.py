"""`nivisco up` with its real processes, on free ports."""

import json
import os
import signal
import socket
import stat
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from click.testing import CliRunner

from cli.addresses import Address
from cli.data_dir import DataDir
from cli.first_screen import first_screen
from cli.main import main
from tests.processes import Running, Start, shown, start_up, wait_until_gone

_RUNNING = "Ctrl-C stops everything.\n"


def _paste(printed: str) -> dict[str, Any]:
    """Run the command that the first screen shows, as a shell would."""
    (command,) = [line for line in printed.splitlines() if "curl" in line]
    answered = subprocess.run(
        ["sh", "-c", command], capture_output=True, text=True, check=True, timeout=20
    )
    answer: dict[str, Any] = json.loads(answered.stdout)
    return answer


def test_the_first_screen_registers_a_business_and_shows_no_key(
    start: Start, tmp_path: Path
) -> None:
    directory = DataDir(tmp_path / "a directory")
    up = start_up(start, directory.path)
    printed = up.wait_for(_RUNNING)
    admin = json.loads(directory.admin.read_text())
    assert (admin["business_id"], len(admin["api_key"])) == ("ADMIN-BUSINESS", 64)
    for path in (directory.admin, directory.secrets, directory.database):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    registered = _paste(printed)
    assert (registered["success"], registered["domain"]) == (True, "northwindcoffee.com")
    assert '  metrics        "metrics served" in the logs; --metrics HOST:PORT' in printed
    assert _ready_processes(directory) == {"core", "adapter", "scheduler"}
    up.signal(signal.SIGINT)
    assert up.wait() == 0
    assert up.printed.endswith("stopped\n")
    wait_until_gone(up.children())
    logs = "".join(path.read_text() for path in directory.logs.iterdir())
    for secret in _secrets(directory):
        assert secret not in up.printed + logs


def test_the_first_screen_shows_where_metrics_are_on_chosen_ports(tmp_path: Path) -> None:
    here, metrics = Address("127.0.0.1", 8080), Address("0.0.0.0", 9464)  # noqa: S104 - not served
    screen = first_screen(DataDir(tmp_path), here, "127.0.0.1:50051", metrics, None)
    assert shown(screen, "metrics") == "http://127.0.0.1:9464/metrics,"


def _ready_processes(directory: DataDir) -> set[str]:
    """Return the processes that say where they serve metrics, once each is ready there."""
    lines = "".join(path.read_text() for path in sorted(directory.logs.iterdir())).splitlines()
    served = [line for line in map(json.loads, lines) if line["message"] == "metrics served"]
    for line in served:
        _wait_until_ready(line["address"] + "/readyz")
    return {line["process"] for line in served}


def _wait_until_ready(url: str) -> None:
    """Wait: a scheduler is ready after its first claim."""
    deadline = time.monotonic() + 60
    while True:
        try:
            urllib.request.urlopen(url, timeout=60).close()  # noqa: S310 - on this machine
        except urllib.error.HTTPError:
            assert time.monotonic() < deadline, f"{url} is not ready"
            time.sleep(0.1)
        else:
            return


def _secrets(directory: DataDir) -> list[str]:
    secrets = directory.read_secrets()
    admin = directory.read_admin()
    assert admin is not None
    return [admin.api_key, secrets.secret_keys[0][1], *secrets.service_tokens.values()]


def test_after_sigkill_no_process_remains_and_the_next_start_works(
    start: Start, tmp_path: Path
) -> None:
    directory = DataDir(tmp_path / "data")
    first = start_up(start, directory.path)
    registered = _paste(first.wait_for(_RUNNING))
    kept = _secrets(directory)
    children = first.children()
    assert len(children) == 4
    deadline = time.monotonic() + 60
    while _states(directory) != dict.fromkeys(_PROCESSES, "ready") | {"up": "runs"}:
        assert time.monotonic() < deadline, "not all serve"  # the scheduler does after a claim
        time.sleep(0.1)
    first.kill_group()
    second = start_up(start, directory.path)  # it waits until the killed processes have ended
    url = shown(second.wait_for(_RUNNING), "JSON endpoint")
    wait_until_gone(children)
    assert _secrets(directory) == kept
    validated = CliRunner().invoke(
        main,
        ["call", "validate_business", "--url", url, "--business", registered["business_id"]],
        env={"NIVISCO_API_KEY": registered["api_key"]},
    )
    assert validated.exit_code == 0, validated.output
    _a_second_up_is_refused(start, directory, second)
    second.signal(signal.SIGTERM)
    assert second.wait() == 0


_PROCESSES = ("sandbox", "core", "adapter", "scheduler")


def _states(directory: DataDir) -> dict[str, str]:
    """Return what `nivisco status` says, by process."""
    arguments = ["status", "--data-dir", str(directory.path)]
    as_json = CliRunner().invoke(main, [*arguments, "-o", "json"])
    states = {each["process"]: each["state"] for each in json.loads(as_json.stdout)["processes"]}
    assert as_json.exit_code == (0 if {*states.values()} == {"runs", "ready"} else 1)
    printed = CliRunner().invoke(main, arguments)
    assert all(each in printed.stdout for each in ("this command: ", *_PROCESSES))
    return states


def _a_second_up_is_refused(start: Start, directory: DataDir, running: Running) -> None:
    refused = start_up(start, directory.path)
    assert refused.wait() == 1
    assert f"Another `nivisco up` (pid {running.pid}) runs on {directory.path}." in refused.printed
    assert refused.printed.count("\n") == 1


def test_a_lost_admin_key_is_replaced_by_command_and_at_the_next_start(
    start: Start, tmp_path: Path
) -> None:
    directory = DataDir(tmp_path / "data")
    up = start_up(start, directory.path, "--no-sandbox")
    printed = up.wait_for(_RUNNING)
    assert "sandbox" not in printed
    first = directory.read_admin()
    core = ["--core", shown(printed, "gRPC")]
    in_directory = ["--data-dir", str(directory.path)]

    refused = CliRunner().invoke(main, ["admin", "create", *core, *in_directory])
    assert (refused.exit_code, directory.read_admin()) == (1, first)
    assert "nivisco admin create --rotate" in refused.stderr

    rotated = CliRunner().invoke(main, ["admin", "create", "--rotate", *core, *in_directory])
    assert rotated.exit_code == 0, rotated.output
    second = directory.read_admin()
    assert second is not None
    assert second != first
    assert second.api_key not in rotated.output

    token = directory.read_secrets().service_tokens
    by_token = CliRunner().invoke(
        main,
        ["admin", "create", "--rotate", *core],
        env={"NIVISCO_SERVICE_TOKEN": token["operator"]},
    )
    assert json.loads(by_token.stdout)["business_id"] == "ADMIN-BUSINESS"
    wrong = CliRunner().invoke(
        main, ["admin", "create", *core], env={"NIVISCO_SERVICE_TOKEN": token["scheduler"]}
    )
    assert (wrong.exit_code, wrong.stdout) == (1, "")
    assert "refused the operator's token" in wrong.stderr

    up.signal(signal.SIGTERM)
    up.wait()
    up = start_up(start, directory.path, "--no-sandbox")
    assert "made    the admin business's key" in up.wait_for(_RUNNING)
    assert directory.read_admin() not in (None, first, second)
    up.signal(signal.SIGTERM)
    assert up.wait() == 0


def test_a_core_that_ends_stops_everything_with_a_sentence(start: Start, tmp_path: Path) -> None:
    up = start_up(start, tmp_path / "data", "--no-sandbox")
    up.wait_for(_RUNNING)
    core = up.children()[0]
    os.kill(core, signal.SIGKILL)
    assert up.wait() == 1
    assert "Error: The core ended (signal 9)." in up.printed
    assert f"Its log: {tmp_path}/data/logs/core.log" in up.printed
    wait_until_gone(up.children())


def test_a_database_with_another_keyring_is_refused(start: Start, tmp_path: Path) -> None:
    up = start_up(start, tmp_path / "old", "--no-sandbox")
    up.wait_for(_RUNNING)
    up.signal(signal.SIGTERM)
    up.wait()
    url = f"sqlite+aiosqlite:///{tmp_path}/old/nivisco.db"
    new = DataDir(tmp_path / "new")
    refused = start_up(start, new.path, "--no-sandbox", NIVISCO_DATABASE_URL=url)
    assert refused.wait() == 1
    assert "cannot be made again" in refused.printed
    new.secrets.write_text((tmp_path / "old" / "secrets.json").read_text())
    other = json.loads(new.secrets.read_text())
    other["secret_keys"][0]["id"] = "another"
    new.secrets.write_text(json.dumps(other))
    refused = start_up(start, new.path, "--no-sandbox", NIVISCO_DATABASE_URL=url)
    assert refused.wait() == 1
    assert "start with the keyring that the database was made with" in refused.printed


def test_a_taken_port_is_refused_before_anything_starts(start: Start, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        up = start_up(start, tmp_path / "data", "--http", address)
        assert up.wait() == 1
    assert up.printed == (
        f"Error: {address} is taken. Choose another port with --http HOST:PORT.\n"
    )


def test_settings_that_would_have_no_effect_are_refused(start: Start, tmp_path: Path) -> None:
    for name, value, sentence in (
        ("NIVISCO_SECRET_KEYS", "k:abc", "Unset NIVISCO_SECRET_KEYS"),
        ("NIVISCO_STRIPE_TEST_URL", "http://x", "Unset it, or add --no-sandbox"),
        ("NIVISCO_AUTHORIZE_TEST_URL", "http://x", "Unset it, or add --no-sandbox"),
        ("NIVISCO_LOG_LEVEL", "loud", "NIVISCO_LOG_LEVEL is not one of"),
    ):
        result = CliRunner().invoke(
            main, ["up", "--data-dir", str(tmp_path / "data")], env={name: value}
        )
        assert result.exit_code == 2
        assert sentence in result.stderr
    assert not (tmp_path / "data").exists()
