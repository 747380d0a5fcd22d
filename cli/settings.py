"""The settings of all processes, and where they come from: variables, files and a TOML file.

`apply` makes variables of this process of all of them before anything reads one, so that whatever
reads a setting reads a variable, and the processes that it spawns get them too. Of one setting,
the first of these counts:

    1. the option of the command
    2. NIVISCO_X
    3. NIVISCO_X_FILE, the path of a file that holds the value
    4. the file in --config or NIVISCO_CONFIG: `x` or `x_file` in the process's table, then above it
    5. the default
"""

import difflib
import os
import stat
import tomllib
from collections.abc import Callable, Iterator, Mapping, MutableMapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click

from cli.failures import SettingsError

CONFIG = "NIVISCO_CONFIG"
PROCESSES = ("core", "adapter", "scheduler", "sandbox")
"""The processes that a TOML file can have a table for."""
_PREFIX = "NIVISCO_"
_FILE = "_FILE"
_LARGEST_FILE_BYTES = 65_536
_READS_AS = {"migrate": "core"}
"""The process whose settings a command reads, if it has another name."""


@dataclass(frozen=True, slots=True)
class Setting:
    """A setting of the table in docs/operating.md."""

    name: str
    processes: tuple[str, ...]
    """Of `PROCESSES`; () for one that only operators' commands read."""
    default: str | None = None
    """None: it must be set, or nothing takes its place."""
    is_secret: bool = False

    @property
    def key(self) -> str:
        """Its name in a TOML file."""
        return self.name.removeprefix(_PREFIX).lower()

    @property
    def file_variable(self) -> str | None:
        """The variable of a file that holds its value; None if its value is a path itself."""
        return None if self.name.endswith(_FILE) else self.name + _FILE


_CORE, _ADAPTER, _CLIENTS = ("core",), ("adapter",), ("adapter", "scheduler")
SETTINGS = {
    setting.name: setting
    for setting in (
        Setting("NIVISCO_DATABASE_URL", _CORE, is_secret=True),
        Setting("NIVISCO_DATABASE_POOL", _CORE, "10"),
        Setting("NIVISCO_DATABASE_LIST_POOL", _CORE, "3"),
        Setting("NIVISCO_SECRET_KEYS", _CORE, is_secret=True),
        Setting("NIVISCO_SERVICE_TOKENS", _CORE, is_secret=True),
        Setting("NIVISCO_GRPC", _CORE, "127.0.0.1:50051"),
        Setting("NIVISCO_GRPC_TLS_CERTIFICATE_FILE", _CORE),
        Setting("NIVISCO_GRPC_TLS_KEY_FILE", _CORE),
        Setting("NIVISCO_GRPC_TLS_CLIENT_CA_FILE", _CORE),
        Setting("NIVISCO_MIGRATE", _CORE, "0"),
        Setting("NIVISCO_TEST_CLOCK", _CORE, "0"),
        Setting("NIVISCO_KEEP_ANSWERS_DAYS", _CORE, "1"),
        Setting("NIVISCO_KEEP_IGNORED_EVENTS_DAYS", _CORE, "90"),
        Setting("NIVISCO_AUDIT_CHECKPOINTS", _CORE),
        Setting("NIVISCO_STRIPE_TEST_URL", _CORE, "https://api.stripe.com"),
        Setting("NIVISCO_STRIPE_LIVE_URL", _CORE, "https://api.stripe.com"),
        Setting("NIVISCO_AUTHORIZE_TEST_URL", _CORE, "https://apitest.authorize.net"),
        Setting("NIVISCO_AUTHORIZE_LIVE_URL", _CORE, "https://api.authorize.net"),
        Setting("NIVISCO_GATEWAY_TIMEOUT_SECONDS", _CORE, "20"),
        Setting("NIVISCO_AUTHORIZE_SETTLE_SECONDS", _CORE, "180"),
        Setting("NIVISCO_LIMIT_WINDOW_SECONDS", _CORE, "3600"),
        Setting("NIVISCO_LIMIT_USER_DECLINES", _CORE, "30"),
        Setting("NIVISCO_LIMIT_CARD_DECLINES", _CORE, "15"),
        Setting("NIVISCO_LIMIT_CARD_SAVES", _CORE, "30"),
        Setting("NIVISCO_LIMIT_ADDRESS_FAILURES", ("core", "adapter"), "600"),
        Setting("NIVISCO_LIMIT_BUSINESS_REQUESTS", _CORE, "0"),
        Setting("NIVISCO_LIMIT_BUSINESS_GATEWAY_REQUESTS", _CORE, "256"),
        Setting("NIVISCO_LAME_DUCK_SECONDS", ("core", "adapter"), "1"),
        Setting("NIVISCO_DRAIN_SECONDS", ("core", "scheduler"), "28"),
        Setting("NIVISCO_HTTP", _ADAPTER, "127.0.0.1:8080"),
        Setting("NIVISCO_TLS_CERTIFICATE_FILE", _ADAPTER),
        Setting("NIVISCO_TLS_KEY_FILE", _ADAPTER),
        Setting("NIVISCO_WEBHOOKS_TOKEN", _ADAPTER, is_secret=True),
        Setting("NIVISCO_TRUSTED_PROXIES", _ADAPTER),
        Setting("NIVISCO_CORE", _CLIENTS, "127.0.0.1:50051"),
        Setting("NIVISCO_CORE_TLS_CA_FILE", _CLIENTS),
        Setting("NIVISCO_CORE_TLS_CERTIFICATE_FILE", _CLIENTS),
        Setting("NIVISCO_CORE_TLS_KEY_FILE", _CLIENTS),
        Setting("NIVISCO_CORE_TLS_SERVER_NAME", _CLIENTS),
        Setting("NIVISCO_CORE_TIMEOUT_SECONDS", _CLIENTS, "25"),
        Setting("NIVISCO_HTTP_MAX_IN_FLIGHT", _ADAPTER, "1024"),
        Setting("NIVISCO_HTTP_BODY_TIMEOUT_SECONDS", _ADAPTER, "10"),
        Setting("NIVISCO_WEBHOOK_FAILURES_PER_MINUTE", _ADAPTER, "60"),
        Setting("NIVISCO_SCHEDULER_HTTP", ("scheduler",), "127.0.0.1:8081"),
        Setting("NIVISCO_SCHEDULER_POLL_SECONDS", ("scheduler",), "1"),
        Setting("NIVISCO_SCHEDULER_LEASE_SECONDS", ("scheduler",), "30"),
        Setting("NIVISCO_SCHEDULER_CONCURRENCY", ("scheduler",), "64"),
        Setting("NIVISCO_SCHEDULER_PER_BUSINESS", ("scheduler",), "32"),
        Setting("NIVISCO_KMS", ("core",)),
        Setting("NIVISCO_VAULT_URL", ("core",)),
        Setting("NIVISCO_VAULT_TOKEN", ("core",), is_secret=True),
        Setting("NIVISCO_VAULT_KEY", ("core",)),
        Setting("NIVISCO_VAULT_MOUNT", ("core",), "transit"),
        Setting("NIVISCO_VAULT_CA_FILE", ("core",)),
        Setting("NIVISCO_CORE_DUMPS", PROCESSES),
        Setting("NIVISCO_METRICS", ("core", "adapter", "scheduler")),
        Setting("NIVISCO_PROFILE_DIRECTORY", PROCESSES),
        Setting("NIVISCO_LOG_LEVEL", PROCESSES, "INFO"),
        Setting("NIVISCO_LOG_FILE", PROCESSES),
        Setting("NIVISCO_LOG_MAX_BYTES", PROCESSES, "104857600"),
        Setting("NIVISCO_LOG_MAX_AGE_SECONDS", PROCESSES, "604800"),
        Setting("NIVISCO_LOG_FILES", PROCESSES, "10"),
        Setting("NIVISCO_SERVICE_TOKEN", ("scheduler",), is_secret=True),
        Setting("NIVISCO_URL", (), "http://127.0.0.1:8080/"),
        Setting("NIVISCO_BUSINESS_ID", ()),
        Setting("NIVISCO_PROFILE", (), "default"),
        Setting("NIVISCO_API_KEY", (), is_secret=True),
    )
}
"""By name."""


@dataclass(frozen=True, slots=True)
class Found:
    """The value of a setting, and where it comes from. `repr` shows no value."""

    value: str = field(repr=False)
    source: str


def apply(environ: MutableMapping[str, str], config: str | None, process: str) -> None:
    """Make variables of the settings in files, and remove the variables that name the files.

    `process` is the command's name; one that is not in `PROCESSES` reads no table of a TOML file.

    Raises:
        SettingsError: a file cannot be used; the message names all that is wrong.
    """
    config = config or environ.get(CONFIG)
    found, problems = find(environ, config, process)
    if problems:
        raise SettingsError("\n".join(problems))
    for setting in SETTINGS.values():
        if setting.file_variable:
            environ.pop(setting.file_variable, None)
    environ.pop(CONFIG, None)
    environ.update({name: each.value for name, each in found.items()})


def find(
    environ: Mapping[str, str], config: str | None, process: str
) -> tuple[dict[str, Found], list[str]]:
    """Return the settings that are given, by name, and a sentence for each problem.

    `config` is the path of the TOML file, if there is one.
    """
    problems: list[str] = []
    in_toml = _read_toml(config, process, problems.append) if config else {}
    found: dict[str, Found] = {}
    for setting in settings_of(process):
        try:
            given = _in_variables(setting, environ) or in_toml.get(setting.name)
            if given is not None:
                found[setting.name] = given if isinstance(given, Found) else given()
        except ValueError as error:
            problems.append(f"{error}.")
    return found, problems


def settings_of(process: str) -> list[Setting]:
    """Return the settings that a process reads: all of them for one that is not in `PROCESSES`."""
    everything = process not in PROCESSES
    return [each for each in SETTINGS.values() if everything or process in each.processes]


def unknown_variables(environ: Mapping[str, str]) -> Iterator[str]:
    """Yield a sentence for each NIVISCO_ variable that is none of a setting."""
    known = [CONFIG, *SETTINGS]
    known += [each.file_variable for each in SETTINGS.values() if each.file_variable]
    for name in sorted(environ):
        if name.startswith(_PREFIX) and name not in known:
            yield f"{name} is not a setting, and is ignored{_suggestion(name, known)}."


def _in_variables(setting: Setting, environ: Mapping[str, str]) -> Found | None:
    value = environ.get(setting.name)
    path = environ.get(setting.file_variable) if setting.file_variable else None
    if value and path:
        raise ValueError(f"{setting.name} and {setting.file_variable} are both set: unset one")
    if path:
        assert setting.file_variable
        return _from_file(setting, setting.file_variable, path)
    return Found(value, "environment") if value else None


def _from_file(setting: Setting, named_by: str, path: str) -> Found:
    name = f"{named_by} ({path})"
    value = _read(name, path, is_secret=setting.is_secret)
    value = value.removesuffix("\n").removesuffix("\r")
    if not value or "\0" in value:
        raise ValueError(f"{name} is empty, or is not text")
    return Found(value, f"file {path} ({named_by})")


def _read(name: str, path: str, *, is_secret: bool) -> str:
    """Return the text of a file.

    Raises:
        ValueError: it cannot be read, is too large, or others may read a secret in it.
    """
    try:
        with Path(path).open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            content = file.read(_LARGEST_FILE_BYTES + 1)
    except OSError as error:
        raise ValueError(f"{name} cannot be read: {error.strerror}") from None
    if is_secret:
        _check_mode(name, mode)
    if len(content) > _LARGEST_FILE_BYTES:
        raise ValueError(f"{name} is larger than {_LARGEST_FILE_BYTES} bytes")
    try:
        return content.decode()
    except UnicodeDecodeError:
        raise ValueError(f"{name} is not UTF-8") from None


def _check_mode(name: str, mode: int) -> None:
    """Refuse what every user of the machine may read or replace. A group may: Kubernetes' fsGroup.

    https://kubernetes.io/docs/tasks/configure-pod-container/security-context/
    """
    if mode & stat.S_IRWXO:
        raise ValueError(
            f"{name} has a secret, and is of mode {stat.S_IMODE(mode):o}: other users may read or "
            "change it; chmod 600, or 640 for a group"
        )


def _read_toml(
    path: str, process: str, report: Callable[[str], None]
) -> dict[str, Callable[[], Found]]:
    """Return functions that return the settings of a process in a TOML file, by name."""
    try:
        content = tomllib.loads(_read(path, path, is_secret=False))
    except tomllib.TOMLDecodeError as error:
        report(f"{path} is not TOML: {error}.")
        return {}
    except ValueError as error:
        report(f"{error}.")
        return {}
    tables = {name: content.pop(name) for name in PROCESSES if isinstance(content.get(name), dict)}
    if tables and process == "up":  # its processes get variables, which would win over the tables
        named = ", ".join(tables)
        report(f"{path}: `nivisco up` reads no tables; move the settings of {named} above them.")
    found = _in_table(path, "", content, report)
    for name, table in tables.items():
        of_process = _in_table(path, name, table, report)
        if name == process:
            found |= of_process
    return found


def _in_table(
    path: str, table: str, content: Mapping[str, Any], report: Callable[[str], None]
) -> dict[str, Callable[[], Found]]:
    """Return functions that return the settings of a table, and report the keys that are wrong."""
    known = {each.key: each for each in SETTINGS.values() if not table or table in each.processes}
    files = {f"{each.key}{_FILE.lower()}": each for each in known.values() if each.file_variable}
    source = f"{path} [{table}]" if table else path
    found: dict[str, Callable[[], Found]] = {}
    for key, value in content.items():
        setting = known.get(key) or files.get(key)
        if setting is None:
            what = f"setting of the {table}" if table else "setting"
            names = [*known, *files, *(() if table else PROCESSES)]
            report(f"{source}: {key} is not a {what}{_suggestion(key, names)}.")
        elif setting.name in found:
            report(f"{source}: {setting.key} and {setting.key}_file are both set: leave one out.")
        else:
            found[setting.name] = _reader(setting, key, value, source, path)
    return found


def _reader(setting: Setting, key: str, value: Any, source: str, path: str) -> Callable[[], Found]:
    def read() -> Found:
        text = _text(f"{source}: {key}", value)
        if key != setting.key:
            return _from_file(setting, f"{source}: {key}", text)
        if setting.is_secret:
            _check_mode(f"{path}: {key}", Path(path).stat().st_mode)
        return Found(text, source)

    return read


def _text(name: str, value: Any) -> str:
    """Return a TOML value as the text of a variable: lists with commas, true and false as 1 and 0.

    Raises:
        ValueError: it is of another type, or empty.
    """
    match value:
        case bool():
            return str(int(value))
        case int() | float():
            return str(value)
        case str() if value and "\0" not in value:
            return value
        case [_, *_] if all(isinstance(each, str) and each for each in value):
            return ",".join(value)
    raise ValueError(
        f"{name} must be a text that is not empty, a number, true or false, or a list of texts"
    )


def _suggestion(name: str, known: list[str]) -> str:
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.7)
    return f"; did you mean {close[0]}" if close else ""


def config_option() -> click.Option:
    """Return the option --config, which applies the settings in files when it is parsed."""

    def applied(context: click.Context, _parameter: click.Parameter, value: str | None) -> None:
        if not context.resilient_parsing:  # of a completion
            command = context.command.name or ""
            apply(os.environ, value, _READS_AS.get(command, command))

    return click.Option(
        ["--config"],
        metavar="FILE",
        type=click.Path(dir_okay=False),
        is_eager=True,
        expose_value=False,
        callback=applied,
        help=f"A TOML file with settings; {CONFIG} if absent.",
    )
