import os
import subprocess
import webbrowser
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from cli import call_output
from cli.data_dir import DataDir, Endpoints, Served
from cli.main import main
from cli.status import _coloured
from tests.cli.conftest import Endpoint


@pytest.fixture
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> DataDir:
    monkeypatch.chdir(tmp_path)
    made = DataDir(Path("var"))
    made.make()
    return made


def _nivisco(*arguments: str) -> Result:
    return CliRunner().invoke(main, arguments, env={"NIVISCO_URL": None})


def test_without_an_up_it_says_what_to_start(directory: DataDir) -> None:
    assert not directory.endpoints.exists()
    for command in ("status", "open"):
        result = _nivisco(command)
        assert (result.exit_code, result.stdout) == (1, "")
        assert "No `nivisco up` has run on " in result.stderr


def test_a_process_that_lives_and_does_not_answer_is_no_success(
    directory: DataDir, endpoint: Endpoint
) -> None:
    served = f"http://127.0.0.1:{endpoint.server_port}"
    ended = subprocess.Popen(["true"])
    ended.wait()
    processes = (
        Served("up", os.getpid()),
        Served("adapter", os.getpid(), (served,)),  # it has no GET: 501
        Served("scheduler", os.getpid(), ("http://127.0.0.1:1",)),
        Served("sandbox", ended.pid, (served,)),
        Served("core", os.getpid(), ("127.0.0.1:1",)),
    )
    directory.write_endpoints(Endpoints(f"{served}/", None, "0.0.1", processes))
    result = _nivisco("status")
    assert result.exit_code == 1
    lines = result.stdout.splitlines()
    assert lines[0].startswith("version  0.0.1 (this command: ")
    states = [" ".join(line.split()[3:]) for line in lines[-4:]]
    assert states == ["not ready", "no answer", "not running", "not ready"]


def test_an_up_json_of_an_older_version_has_no_processes(directory: DataDir) -> None:
    directory.endpoints.write_text('{"json": "http://127.0.0.1:9/", "sandbox": ""}')
    assert directory.read_endpoints() == Endpoints("http://127.0.0.1:9/", None)
    assert _nivisco("status").exit_code == 1


@pytest.mark.parametrize(
    ("page", "address"),
    [
        ((), "portal"),
        (("live-test",), "live-test"),
        (("/docs#charge_customer",), "docs#charge_customer"),
        (("//example.com",), "example.com"),
        (("javascript:alert(1)",), None),
        (("http://example.com/",), None),
    ],
)
def test_open_opens_pages_of_this_instance_only(
    directory: DataDir, monkeypatch: pytest.MonkeyPatch, page: tuple[str, ...], address: str | None
) -> None:
    opened: list[str] = []

    def browser(each: str) -> bool:
        opened.append(each)
        return True

    monkeypatch.setattr(webbrowser, "open", browser)
    directory.write_endpoints(Endpoints("http://127.0.0.1:9/", None))
    result = _nivisco("open", *page)
    assert opened == ([] if address is None else [f"http://127.0.0.1:9/{address}"])
    assert result.exit_code == (2 if address is None else 0)


def test_without_a_browser_the_address_is_printed(
    directory: DataDir, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(webbrowser, "open", lambda _: False)
    directory.write_endpoints(Endpoints("http://127.0.0.1:9/", None))
    result = _nivisco("open")
    assert (result.exit_code, result.stdout) == (1, "http://127.0.0.1:9/portal\n")


def test_colours_are_for_terminals_only(monkeypatch: pytest.MonkeyPatch) -> None:
    text = "process  state\nup       runs\ncore     not ready\nadapter  not running"
    assert _coloured(text) == text
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert call_output.is_coloured()
    heading, *lines = text.splitlines()
    colours = ("green", "yellow", "red")
    styled = [click.style(line, fg=c) for line, c in zip(lines, colours, strict=True)]
    assert _coloured(text).splitlines() == [heading, *styled]
    monkeypatch.setenv("NO_COLOR", "1")
    assert _coloured(text) == text
