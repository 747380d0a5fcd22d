"""Several workers with one parent: stand-ins that misbehave, and real ones."""

import http.client
import json
import os
import re
import signal
import socket
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from cli.failures import Failure, SettingsError
from cli.main import main
from cli.worker_plans import metrics_environments, worker_addresses
from tests.processes import Running, Start, serving_line, start_up, wait_until_gone

_PARENT = """
import asyncio, os, sys
import click
from cli import logs
from cli.children import Spawn
from cli.parent_pipes import ParentPipes
from cli.workers import Workers

async def work(programs):
    stop = asyncio.Event()
    import signal
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    workers = Workers([
        Spawn(f"worker {n}", [sys.executable, "-c", p], dict(os.environ), None, 5.0)
        for n, p in enumerate(programs, start=1)
    ])
    await workers.serve(lambda address: print("all at", address, flush=True), stop)

logs.configure("parent", sys.stdout)
ParentPipes()
try:
    asyncio.run(work(sys.argv[1:]))
    print("stopped")
except click.ClickException as failure:
    print(failure.message)
    sys.exit(1)
"""
_SERVES = """
import os, signal, sys
from cli.parent_pipes import ParentPipes
parent = ParentPipes()
def say(words):
    os.write(1, f"{os.getpid()} {words}\\n".encode())  # at once, though siblings share the pipe
signal.signal(signal.SIGTERM, lambda *_: (say("bye"), sys.exit(0)))
signal.signal(signal.SIGHUP, lambda *_: say("hung up"))
say("serves")
parent.report_ready("h:NUMBER")
while True:
    signal.pause()
"""
_CANNOT_START = "import sys; sys.exit(3)\n"
_STARTS_ONCE = """
import os, pathlib, sys
mark = pathlib.Path(os.environ["MARK"])
began = mark.read_text().count("x") if mark.exists() else 0
mark.write_text("x" * (began + 1))
if began in (1, 2):
    sys.exit(3)
"""


def serving(number: int) -> str:
    return _SERVES.replace("NUMBER", str(number))


def test_all_addresses_are_reported_in_order_and_a_stop_ends_all_workers(start: Start) -> None:
    parent = start("-c", _PARENT, serving(2), serving(1))
    parent.wait_for("all at h:2,h:1\n")
    children = parent.children()
    parent.signal(signal.SIGTERM)
    assert parent.wait() == 0
    assert [f"{pid} bye\n" in parent.printed for pid in children] == [True, True]
    assert parent.printed.endswith("stopped\n")


def test_an_address_that_workers_share_is_reported_once(start: Start) -> None:
    start("-c", _PARENT, serving(7), serving(7)).wait_for("all at h:7\n")


def test_no_worker_outlives_a_parent_that_was_killed(start: Start) -> None:
    parent = start("-c", _PARENT, serving(1), serving(2))
    parent.wait_for("all at")
    children = parent.children()
    assert len(children) == 2
    parent.signal(signal.SIGKILL)
    wait_until_gone(children)


def test_a_worker_that_fails_its_first_start_ends_all(start: Start) -> None:
    parent = start("-c", _PARENT, serving(1), _CANNOT_START)
    assert parent.wait() == 1
    assert "The worker 2 ended (exit code 3)." in parent.printed
    assert "all at" not in parent.printed
    wait_until_gone(parent.children())


def test_a_worker_that_dies_is_restarted_until_a_start_succeeds(
    start: Start, tmp_path: Path
) -> None:
    mark = str(tmp_path / "mark")
    parent = start("-c", _PARENT, _STARTS_ONCE + serving(1), serving(2), MARK=mark)
    parent.wait_for("all at h:1,h:2\n")
    [died, other] = parent.children()
    os.kill(died, signal.SIGKILL)
    parent.wait_for("The worker 1 ended (signal 9).")
    parent.wait_for("The worker 1 ended (exit code 3). Its log lines are above.")
    again = re.compile(rf"^(?!{died} |{other} )\d+ serves$", re.MULTILINE)
    parent.wait_for_match(again)
    assert Path(mark).read_text() == "xxxx"
    assert f"{other} bye" not in parent.printed


def test_sigusr2_restarts_the_workers_one_after_the_other(start: Start) -> None:
    parent = start("-c", _PARENT, serving(1), serving(2))
    parent.wait_for("all at")
    first, second = parent.children()
    parent.signal(signal.SIGUSR2)
    parent.wait_for("rolling restart finished")
    printed = [line.split() for line in parent.printed.split("all at h:1,h:2\n")[1].splitlines()]
    order = [words for words in printed if words[-1] in ("bye", "serves")]
    assert [words[1] for words in order] == ["bye", "serves", "bye", "serves"]
    assert [order[0][0], order[2][0]] == [str(first), str(second)]
    assert {order[1][0], order[3][0]}.isdisjoint({str(first), str(second)})


_ENDS_WHEN_ALLOWED = """
import os, pathlib, signal
from cli.parent_pipes import ParentPipes
parent = ParentPipes()
signal.signal(signal.SIGTERM, lambda *_: os.write(1, f"{os.getpid()} terminated\\n".encode()))
parent.report_ready("h:1")
while not pathlib.Path(os.environ["MARK"]).exists():
    signal.sigtimedwait([], 0.01)
"""


def test_a_stop_during_a_rolling_restart_sends_no_worker_sigterm_twice(
    start: Start, tmp_path: Path
) -> None:
    mark = tmp_path / "mark"
    parent = start("-c", _PARENT, _ENDS_WHEN_ALLOWED, serving(2), MARK=str(mark))
    parent.wait_for("all at")
    slow, other = parent.children()
    parent.signal(signal.SIGUSR2)
    parent.wait_for(f"{slow} terminated")
    parent.signal(signal.SIGTERM)
    parent.wait_for(f"{other} bye")
    mark.touch()
    assert parent.wait() == 0
    assert parent.printed.count("terminated") == 1


def test_up_with_one_worker_ignores_sigusr2_and_logs_it(start: Start, tmp_path: Path) -> None:
    up = start_up(start, tmp_path / "data", "--no-sandbox", "--log-to-terminal")
    up.wait_for("Ctrl-C stops everything.\n")
    up.signal(signal.SIGUSR2)
    up.wait_for("rolling restart ignored, --workers is 1")
    up.signal(signal.SIGTERM)
    assert up.wait() == 0


def test_sighup_is_passed_on_to_the_workers(start: Start) -> None:
    parent = start("-c", _PARENT, serving(1), serving(2))
    parent.wait_for("all at")
    children = parent.children()
    parent.signal(signal.SIGHUP)
    for pid in children:
        parent.wait_for(f"{pid} hung up")


@pytest.mark.parametrize(
    ("listen_on", "addresses"),
    [
        ("127.0.0.1:50051", ["127.0.0.1:50051", "127.0.0.1:50052", "127.0.0.1:50053"]),
        ("[::1]:7", ["[::1]:7", "[::1]:8", "[::1]:9"]),
        ("127.0.0.1:0", ["127.0.0.1:0"] * 3),
        ("unix:/run/core", ["unix:/run/core.1", "unix:/run/core.2", "unix:/run/core.3"]),
    ],
)
def test_every_core_worker_has_its_own_address(listen_on: str, addresses: list[str]) -> None:
    assert worker_addresses(listen_on, 3) == addresses


def test_more_workers_than_ports_are_refused() -> None:
    with pytest.raises(SettingsError, match="leaves no 3 ports"):
        worker_addresses("127.0.0.1:65534", 3)


def test_every_worker_serves_its_metrics_on_a_port_of_its_own_if_any_are_served() -> None:
    first = two_free_ports()
    assert metrics_environments({"NIVISCO_METRICS": f"127.0.0.1:{first}"}, 2) == [
        {"NIVISCO_METRICS": f"127.0.0.1:{first}"},
        {"NIVISCO_METRICS": f"127.0.0.1:{first + 1}"},
    ]
    assert metrics_environments({}, 2) == [{}, {}]
    with pytest.raises(SettingsError, match=r"leaves no 3 ports. Choose a lower one: NIVISCO_METR"):
        metrics_environments({"NIVISCO_METRICS": "127.0.0.1:65534"}, 3)


def test_a_taken_port_of_metrics_is_refused_by_its_option() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(Failure, match="Choose another port with --metrics HOST:PORT"):
            metrics_environments({"NIVISCO_METRICS": address}, 1)


@pytest.mark.parametrize("command", [["core"], ["up", "--data-dir", "DIR"]])
def test_several_cores_on_sqlite_are_refused(tmp_path: Path, command: list[str]) -> None:
    arguments = [each.replace("DIR", str(tmp_path / "data")) for each in command]
    environment = {"NIVISCO_SECRET_KEYS": "k1:" + "A" * 43 + "="} if command == ["core"] else {}
    url = f"sqlite:///{tmp_path}/n.db"
    refused = CliRunner().invoke(
        main, [*arguments, "--workers", "2"], env=environment | {"NIVISCO_DATABASE_URL": url}
    )
    assert refused.exit_code == 2
    assert "--workers 2: several cores need PostgreSQL" in refused.stderr
    assert not (tmp_path / "data").exists()


def test_real_cores_serve_on_ports_in_a_row_and_keep_them(
    start: Start, postgresql_database: str
) -> None:
    first = two_free_ports()
    settings = {
        "NIVISCO_DATABASE_URL": postgresql_database,
        "NIVISCO_SECRET_KEYS": "k1:" + "A" * 43 + "=",
        "NIVISCO_LAME_DUCK_SECONDS": "0",
    }
    address = f"127.0.0.1:{first}"
    core = start("-P", "-m", "cli", "core", "--grpc", address, "--workers", "2", **settings)
    core.wait_for(f'"serving", "address": "{address},127.0.0.1:{first + 1}"')
    dying = core.children()[1]
    os.kill(dying, signal.SIGKILL)
    core.wait_for("The core 2 ended (signal 9).")
    core.wait_for_match(re.compile(f'(?s)signal 9.*"serving", "address": "127.0.0.1:{first + 1}"'))
    children = core.descendants()
    core.signal(signal.SIGTERM)
    assert core.wait() == 0
    wait_until_gone(children)
    lines = [json.loads(line) for line in core.printed.splitlines()]
    assert {line["process"] for line in lines} == {"core", "core 1", "core 2"}
    assert lines[-1]["message"] == "stopped"


def test_a_taken_port_among_those_of_the_core_workers_is_named(
    start: Start, postgresql_database: str
) -> None:
    first = two_free_ports()
    settings = {
        "NIVISCO_DATABASE_URL": postgresql_database,
        "NIVISCO_SECRET_KEYS": "k1:" + "A" * 43 + "=",
    }
    with socket.create_server(("127.0.0.1", first + 1)):
        address = f"127.0.0.1:{first}"
        core = start("-P", "-m", "cli", "core", "--grpc", address, "--workers", "2", **settings)
        assert core.wait() == 1
    assert core.printed == (
        f"Error: 127.0.0.1:{first + 1} is taken. Choose another port with --grpc HOST:PORT.\n"
    )


def two_free_ports() -> int:
    """Return the first of two ports in a row that were free just now."""
    while True:
        with socket.create_server(("127.0.0.1", 0)) as probe:
            first = int(probe.getsockname()[1])
            try:
                socket.create_server(("127.0.0.1", first + 1)).close()
            except OSError:
                continue
            return first


def healthy(address: str) -> Any:
    connection = http.client.HTTPConnection(address, timeout=20)
    try:
        connection.request("GET", "/healthz")
        return json.load(connection.getresponse())
    finally:
        connection.close()


def adapters(start: Start) -> tuple[Running, str]:
    adapter = start(
        *("-P", "-m", "cli", "adapter", "--http", "127.0.0.1:0", "--workers", "2"),
        NIVISCO_LAME_DUCK_SECONDS="0",
    )
    address = adapter.wait_for_match(serving_line("adapter"))[1]
    return adapter, address.removeprefix("http://")


def test_adapters_share_one_port_and_clients_do_not_notice_the_loss_of_one(start: Start) -> None:
    adapter, address = adapters(start)
    children = adapter.children()
    assert len(children) == 2
    os.kill(children[0], signal.SIGKILL)
    for _ in range(20):
        assert healthy(address) == {"status": "alive"}
    os.kill(children[1], signal.SIGSTOP)  # only the restarted one can respond now
    for _ in range(20):
        assert healthy(address) == {"status": "alive"}
    os.kill(children[1], signal.SIGCONT)
    adapter.signal(signal.SIGTERM)
    assert adapter.wait() == 0
    wait_until_gone(adapter.children())


def test_no_adapter_outlives_a_parent_that_was_killed(start: Start) -> None:
    adapter, _ = adapters(start)
    children = adapter.children()
    adapter.signal(signal.SIGKILL)
    wait_until_gone(children)


def test_a_taken_address_of_adapters_is_one_sentence(start: Start) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        adapter = start("-P", "-m", "cli", "adapter", "--http", address, "--workers", "2")
        assert adapter.wait() == 1
    assert adapter.printed == (
        f"Error: {address} is taken. Choose another port with --http HOST:PORT.\n"
    )


def test_no_process_of_up_outlives_it_and_it_can_be_started_again(
    start: Start, tmp_path: Path, postgresql_database: str
) -> None:
    more = ("--no-sandbox", "--workers", "2", "--database-url", postgresql_database)
    up = start_up(start, tmp_path / "data", *more)
    printed = up.wait_for("Ctrl-C stops everything.\n")
    assert re.search(r"^  gRPC +127\.0\.0\.1:\d+,127\.0\.0\.1:\d+$", printed, re.MULTILINE)
    descendants = up.descendants()
    assert len(descendants) == 7
    up.signal(signal.SIGKILL)
    wait_until_gone(descendants)
    again = start_up(start, tmp_path / "data", *more)
    again.wait_for("Ctrl-C stops everything.\n")
    again.signal(signal.SIGTERM)
    assert again.wait() == 0
