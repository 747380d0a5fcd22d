"""Settings from variables, files and a TOML file: which one counts, and what is refused."""

import os
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from click.testing import CliRunner

from adapter.settings import AdapterSettings
from cli.log_file import Rotation
from cli.main import main
from cli.settings import CONFIG, PROCESSES, SETTINGS, apply, find, settings_of
from core.server.settings import CoreSettings
from scheduler.settings import SchedulerSettings
from tests.processes import Start, serving_line
from tests.test_docs import OPERATING

KEY = "k1:" + "A" * 43 + "="
TOKEN = "test-token-of-32-characters-or-so"
NEEDED = {"NIVISCO_DATABASE_URL": "sqlite:////db", "NIVISCO_SECRET_KEYS": KEY}


@pytest.fixture(autouse=True)
def in_its_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Files are named relative to the test's folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write(name: str, content: str, mode: int = 0o600) -> None:
    Path(name).write_text(content)
    Path(name).chmod(mode)


class Recorder(dict[str, str]):
    """Variables that remember which of them were read."""

    def __init__(self, values: dict[str, str]) -> None:
        super().__init__(values)
        self.read: set[str] = set()

    def get(self, name: str, default: str | None = None) -> str | None:  # type: ignore[override]
        self.read.add(name)
        return super().get(name, default)


@pytest.mark.parametrize(
    ("process", "read"),
    [
        ("core", CoreSettings.from_environment),
        ("adapter", AdapterSettings.from_environment),
        ("scheduler", SchedulerSettings.from_environment),
    ],
)
def test_the_table_has_each_setting_of_a_process_with_its_default(
    process: str, read: Callable[[Mapping[str, str]], object]
) -> None:
    needed = NEEDED if process == "core" else {"NIVISCO_SERVICE_TOKEN": TOKEN}
    recorder = Recorder(needed)
    settings = read(recorder)
    listed = settings_of(process)
    read_by_cli = {each.name for each in listed if each.processes == PROCESSES}
    with_tls_only = {"NIVISCO_CORE_TLS_SERVER_NAME"}
    with_vault_only = {each.name for each in listed if each.name.startswith("NIVISCO_VAULT_")}
    names = {each.name for each in listed}
    assert names - with_tls_only - with_vault_only == recorder.read | read_by_cli
    defaults = {each.name: each.default for each in listed if each.default}
    assert read(defaults | needed) == settings
    assert Rotation.from_environment(defaults) == Rotation()


def test_the_table_has_the_settings_of_the_operating_guide() -> None:
    section = OPERATING.read_text().partition("\n## Settings\n")[2].partition("\n## ")[0]
    first_cells = [line.split("|")[1] for line in section.splitlines() if line.startswith("| `")]
    named = {each for cell in first_cells for each in cell.split("`") if "NIVISCO" in each}
    of_children = {"PARENT_PIPE", "READY_PIPE", "HELD_DESCRIPTORS", "HTTP_SOCKET", "WORKER"}
    assert named - {f"NIVISCO_{each}" for each in of_children} == {*SETTINGS, CONFIG}


@pytest.mark.parametrize(
    ("variables", "toml", "value", "source"),
    [
        ({}, "", None, None),
        ({"NIVISCO_GRPC": "1.1.1.1:1"}, "grpc = '2.2.2.2:2'", "1.1.1.1:1", "environment"),
        ({"NIVISCO_GRPC": ""}, "grpc = '2.2.2.2:2'", "2.2.2.2:2", "t.toml"),
        ({"NIVISCO_GRPC_FILE": "f"}, "grpc = '2.2.2.2:2'", "f:1", "file f (NIVISCO_GRPC_FILE)"),
        ({}, "grpc = 'a:1'\n[core]\ngrpc = 'b:1'", "b:1", "t.toml [core]"),
        ({}, "grpc = 'a:1'\n[adapter]\nhttp = 'b:1'", "a:1", "t.toml"),
        ({}, "grpc_file = 'f'", "f:1", "file f (t.toml: grpc_file)"),
        ({}, "grpc = 'a:1'\n[core]\ngrpc_file = 'f'", "f:1", "file f (t.toml [core]: grpc_file)"),
    ],
)
def test_the_nearest_source_of_a_setting_counts(
    variables: dict[str, str], toml: str, value: str | None, source: str | None
) -> None:
    write("f", "f:1\n")
    write("t.toml", toml)
    found, problems = find(variables, "t.toml", "core")
    assert problems == []
    given = found.get("NIVISCO_GRPC")
    assert (given and given.value, given and given.source) == (value, source)


@pytest.mark.parametrize(
    ("written", "text"),
    [
        ("database_pool = 20", "20"),
        ("gateway_timeout_seconds = 2.5", "2.5"),
        ("migrate = true", "1"),
        ("migrate = false", "0"),
        ("service_tokens = ['operator:a', 'webhooks:b']", "operator:a,webhooks:b"),
    ],
)
def test_a_value_of_toml_is_the_text_of_a_variable(written: str, text: str) -> None:
    write("t.toml", written)
    found, problems = find({}, "t.toml", "core")
    assert ([each.value for each in found.values()], problems) == ([text], [])


@pytest.mark.parametrize(
    ("content", "value"), [("a\n", "a"), ("a\r\n", "a"), ("a\n\n", "a\n"), (" a ", " a ")]
)
def test_one_newline_at_the_end_of_a_file_is_not_of_the_value(content: str, value: str) -> None:
    Path("f").write_bytes(content.encode())
    found, _ = find({"NIVISCO_HTTP_FILE": "f"}, None, "adapter")
    assert found["NIVISCO_HTTP"].value == value


@pytest.mark.parametrize(
    ("variables", "toml", "problem"),
    [
        (
            {"NIVISCO_GRPC": "a", "NIVISCO_GRPC_FILE": "f"},
            "",
            "NIVISCO_GRPC and NIVISCO_GRPC_FILE are both set: unset one.",
        ),
        ({"NIVISCO_GRPC_FILE": "none"}, "", "(none) cannot be read: No such file or directory."),
        ({"NIVISCO_GRPC_FILE": "."}, "", "(.) cannot be read: Is a directory."),
        ({"NIVISCO_GRPC_FILE": "empty"}, "", "(empty) is empty, or is not text."),
        ({"NIVISCO_GRPC_FILE": "binary"}, "", "(binary) is not UTF-8."),
        ({"NIVISCO_GRPC_FILE": "zero"}, "", "(zero) is empty, or is not text."),
        ({"NIVISCO_GRPC_FILE": "large"}, "", "(large) is larger than 65536 bytes."),
        (
            {"NIVISCO_SECRET_KEYS_FILE": "open"},
            "",
            "NIVISCO_SECRET_KEYS_FILE (open) has a secret, and is of mode 644: other users may "
            "read or change it; chmod 600, or 640 for a group.",
        ),
        ({}, "secret_keys = 'k'", "t.toml: secret_keys has a secret, and is of mode 644"),
        ({}, "grpc = 'a'\ngrpc_file = 'f'", "grpc and grpc_file are both set: leave one out."),
        ({}, "grcp = 'a'", "t.toml: grcp is not a setting; did you mean grpc."),
        ({}, "[cores]", "t.toml: cores is not a setting; did you mean core."),
        (
            {},
            "[core]\nhttp = 'a'",
            "t.toml [core]: http is not a setting of the core",
        ),
        (
            {},
            "[adapter]\nhtp = 'a'",
            "t.toml [adapter]: htp is not a setting of the adapter; did you mean http.",
        ),
        ({}, "grpc_tls_key_file_file = 'a'", "is not a setting; did you mean grpc_tls_key_file."),
        ({}, "grpc = ''", "t.toml: grpc must be a text that is not empty"),
        ({}, "grpc = [1]", "t.toml: grpc must be a text that is not empty"),
        ({}, "grpc = 1979-05-27", "t.toml: grpc must be a text that is not empty"),
        ({}, "grpc = ", "t.toml is not TOML: Invalid value (at end of document)."),
    ],
)
def test_what_cannot_be_used_is_named(variables: dict[str, str], toml: str, problem: str) -> None:
    write("f", "a")
    write("empty", "\n")
    write("zero", "a\0b")
    write("large", "a" * 65_537)
    write("open", "k", mode=0o644)
    Path("binary").write_bytes(b"\xff\xfe")
    write("t.toml", toml, mode=0o644)
    _, [found] = find(variables, "t.toml", "core")
    assert problem in found


def test_a_secret_may_be_readable_for_a_group() -> None:
    write("k", KEY, mode=0o440)
    found, problems = find({"NIVISCO_SECRET_KEYS_FILE": "k"}, None, "core")
    assert (found["NIVISCO_SECRET_KEYS"].value, problems) == (KEY, [])


def test_a_process_reads_no_file_of_another_ones_settings() -> None:
    variables = {"NIVISCO_SECRET_KEYS_FILE": "none", "NIVISCO_HTTP": "127.0.0.1:1"}
    found, problems = find(variables, None, "adapter")
    assert ([*found], problems) == (["NIVISCO_HTTP"], [])


def test_the_table_of_another_process_does_not_count() -> None:
    write("t.toml", "[core]\nlog_level = 'DEBUG'\n[adapter]\nlog_level = 'ERROR'")
    values = [
        {name: each.value for name, each in find({}, "t.toml", process)[0].items()}
        for process in ("core", "adapter", "scheduler")
    ]
    assert values == [{"NIVISCO_LOG_LEVEL": "DEBUG"}, {"NIVISCO_LOG_LEVEL": "ERROR"}, {}]


def test_all_problems_are_named_at_once_and_no_value() -> None:
    write("t.toml", "secret_keys = 5\nhtp = 'hidden'\n[core]\ngrcp = 'hidden'")
    variables = {"NIVISCO_GRPC": "hidden", "NIVISCO_GRPC_FILE": "f"}
    _, problems = find(variables, "t.toml", "core")
    assert len(problems) == 3
    assert "hidden" not in " ".join(problems)


def test_up_refuses_tables_which_it_would_ignore() -> None:
    write("t.toml", "log_level = 'DEBUG'\n[core]\ndatabase_pool = 20")
    _, [problem] = find({}, "t.toml", "up")
    assert problem == "t.toml: `nivisco up` reads no tables; move the settings of core above them."


def test_applied_settings_are_variables_and_their_files_are_not() -> None:
    write("k", KEY)
    write("t.toml", "log_level = 'DEBUG'")
    environ = {"NIVISCO_SECRET_KEYS_FILE": "k", CONFIG: "t.toml", "OTHER": "1"}
    apply(environ, None, "core")
    assert environ == {"NIVISCO_SECRET_KEYS": KEY, "NIVISCO_LOG_LEVEL": "DEBUG", "OTHER": "1"}


@pytest.mark.parametrize("name", ["core", "adapter", "scheduler", "sandbox", "migrate", "doctor"])
def test_each_command_refuses_a_wrong_file_before_anything_else(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    write("t.toml", "grcp = 'a'")
    for each in [each for each in os.environ if each.startswith("NIVISCO_")]:
        monkeypatch.delenv(each)
    result = CliRunner().invoke(main, [name, "--config", "t.toml"])
    assert (result.exit_code, result.output) == (
        2,
        "Error: t.toml: grcp is not a setting; did you mean grpc.\n",
    )


def test_a_process_serves_with_settings_from_files(start: Start) -> None:
    write("token", TOKEN + "\n")
    write("t.toml", "[adapter]\nhttp = '127.0.0.1:0'\nwebhooks_token_file = 'token'")
    adapter = start("-P", "-m", "cli", "adapter", NIVISCO_CONFIG="t.toml")
    found = adapter.wait_for_match(serving_line("adapter"))
    assert not found[1].endswith(":8080")
    assert TOKEN not in Path(f"/proc/{adapter.pid}/environ").read_text()


def test_an_option_wins_over_all_files(monkeypatch: pytest.MonkeyPatch) -> None:
    write("t.toml", "http = '127.0.0.1:1'\ncore = '127.0.0.1:2'")
    read: list[Mapping[str, str]] = []
    monkeypatch.setattr(os, "environ", {})
    monkeypatch.setattr("cli.processes.run", lambda _process, prepare: prepare())
    monkeypatch.setattr(AdapterSettings, "from_environment", read.append)
    command = ["adapter", "--http", "127.0.0.1:3", "--config", "t.toml"]
    main(command, standalone_mode=False)
    assert read == [{"NIVISCO_HTTP": "127.0.0.1:3", "NIVISCO_CORE": "127.0.0.1:2"}]


def test_an_operators_command_reads_files(start: Start) -> None:
    write("core", "127.0.0.1:1\n")
    write("token", TOKEN)
    files = {"NIVISCO_CORE_FILE": "core", "NIVISCO_SERVICE_TOKEN_FILE": "token"}
    doctor = start("-P", "-m", "cli", "doctor", **files)
    assert doctor.wait() == 2
    assert "No core answers at 127.0.0.1:1." in doctor.printed
