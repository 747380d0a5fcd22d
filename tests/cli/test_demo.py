"""`nivisco demo` against a real `nivisco up`, and every request that it prints, in a shell."""

import json
import os
import signal
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from cli.data_dir import DataDir, DemoMerchant, Endpoints
from cli.main import main
from rpc.metadata import Credentials
from tests.processes import Start, start_up

_RUNNING = "Ctrl-C stops everything.\n"


@pytest.fixture
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> DataDir:
    """The data directory that commands use by default."""
    monkeypatch.chdir(tmp_path)
    made = DataDir(Path("var"))
    made.make()
    return made


def _demo(*arguments: str) -> Result:
    unset = dict.fromkeys(("NIVISCO_URL", "NIVISCO_BUSINESS_ID", "NIVISCO_API_KEY"))
    return CliRunner().invoke(main, ["demo", *arguments], env=unset)


def _paste(command: str) -> list[dict[str, Any]]:
    """Run commands in a shell, and return the JSON objects that they print."""
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    kept = {name: v for name, v in os.environ.items() if not name.startswith("NIVISCO_")}
    ran = subprocess.run(
        ["sh", "-e", "-c", command],
        env=kept | {"PATH": path},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    decoder, text, found = json.JSONDecoder(), ran.stdout.strip(), []
    while text:
        value, end = decoder.raw_decode(text)
        found.append(value)
        text = text[end:].strip()
    return found


def test_each_printed_request_succeeds_as_it_stands(start: Start, directory: DataDir) -> None:
    up = start_up(start, directory.path)
    assert "\nnivisco demo\n" in up.wait_for(_RUNNING)
    made = _demo()
    assert made.exit_code == 0, made.output
    kept = directory.read_demo()
    assert kept is not None
    for value in (kept.credentials.business_id, kept.credentials.api_key, kept.user_id):
        assert value in made.stdout
    assert stat.S_IMODE(directory.demo.stat().st_mode) == 0o600
    _, _, requests = made.stdout.partition("A first charge:\n")
    commands = "\n".join(line for line in requests.splitlines() if not line.endswith(":"))
    answers = _paste(commands)
    assert [answer["success"] for answer in answers] == [True] * 8
    charged, by_curl, funded, paid, wallet, history, job, records = answers
    assert charged["amount"] == by_curl["amount"] == 25.5
    assert charged["transaction_id"] != by_curl["transaction_id"]
    assert funded["wallet"]["balance"] == 150
    assert paid["new_balance"] == wallet["wallet"]["balance"] == 115.5
    assert len(history["transactions"]) == 2
    assert job["recurring_id"].startswith("REC-")
    assert records["count"] == 3

    again = _demo()
    assert (again.exit_code, directory.read_demo()) == (0, kept)
    assert again.stdout.startswith("The demo merchant from before")
    assert again.stdout.partition("\n")[2] == made.stdout.partition("\n")[2]

    another = _demo("--new")
    assert another.stdout.startswith("Made a demo merchant.")
    assert directory.read_demo() != kept

    call = commands.splitlines()[1].partition(" charge_customer")[0]
    assert _paste(f"{call} --profile admin {_REGISTER}")[0]["success"]

    _a_merchant_with_live_keys_is_refused(commands.splitlines()[1])
    directory.write_demo(DemoMerchant(Credentials("another-database", "0" * 64), "USR-1"))
    assert _demo().stdout.startswith("Made a demo merchant.")
    up.signal(signal.SIGTERM)
    assert up.wait() == 0
    stopped = _demo()
    assert stopped.exit_code == 1
    assert "Nothing answers at http://127.0.0.1:" in stopped.stderr


_REGISTER = (
    "register_business new_business.name=A new_business.email=a@b.com new_business.domain=b.com"
)


def _a_merchant_with_live_keys_is_refused(charge: str) -> None:
    call = charge.partition(" charge_customer")[0]
    _paste(
        f"{call} add_stripe_credentials credentials.env=LIVE "
        "credentials.stripe_secret_key=sk_live_fake credentials.stripe_public_key=pk_live_fake"
    )
    refused = _demo()
    assert refused.exit_code == 1
    assert "has LIVE keys" in refused.stderr
    assert "`nivisco demo --new` makes another" in refused.stderr


def test_without_an_up_it_says_what_to_start(directory: DataDir) -> None:
    refused = _demo()
    assert refused.exit_code == 1
    assert f"No `nivisco up` has run on {directory.path}. Start one" in refused.stderr


def test_without_a_sandbox_nothing_is_sent(directory: DataDir) -> None:
    directory.write_endpoints(Endpoints("http://127.0.0.1:1/", sandbox=None))
    refused = _demo()
    assert refused.exit_code == 1
    assert "Start it without --no-sandbox" in refused.stderr


def test_an_up_without_an_admin_key_is_named(directory: DataDir) -> None:
    directory.write_endpoints(Endpoints("http://127.0.0.1:1/", sandbox="http://127.0.0.1:2"))
    refused = _demo()
    assert refused.exit_code == 1
    assert "admin.json is missing or broken" in refused.stderr


def test_requests_name_a_data_directory_that_is_not_the_default(
    start: Start, tmp_path: Path
) -> None:
    directory = DataDir(tmp_path / "a directory")
    up = start_up(start, directory.path)
    up.wait_for(_RUNNING)
    made = CliRunner().invoke(
        main, ["demo", "--data-dir", str(directory.path)], env={"NIVISCO_BUSINESS_ID": "B"}
    )
    assert made.exit_code == 0, made.output
    assert "\nunset NIVISCO_BUSINESS_ID\n" in made.stdout
    (charge,) = [line for line in made.stdout.splitlines() if " charge_customer " in line]
    assert f"--credentials '{directory.demo}'" in charge
    assert _paste(charge)[0]["success"]
