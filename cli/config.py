"""The `nivisco config` commands, which show where the settings of a process come from."""

import os
import re
from collections.abc import Iterator, Mapping

import click

from cli import logs
from cli.failures import sentence
from cli.groups import Group
from cli.log_file import Rotation
from cli.settings import CONFIG, PROCESSES, Found, Setting, find, settings_of, unknown_variables

_HIDDEN = "(hidden)"


@click.group(cls=Group)
def config() -> None:
    """Check the settings of the processes before they start."""


@config.command()
@click.argument("processes", metavar="[PROCESS]…", nargs=-1, type=click.Choice(PROCESSES))
@click.option(
    "--config",
    "file",
    metavar="FILE",
    type=click.Path(dir_okay=False),
    envvar=CONFIG,
    help=f"A TOML file with settings; {CONFIG} if absent.",
)
@click.pass_context
def check(context: click.Context, processes: tuple[str, ...], file: str | None) -> None:
    """Print the settings in force for core, adapter, scheduler and sandbox, and all problems.

    Name the processes that run on this machine, or all four are checked. Each line has a setting,
    its value and its source: the environment, a file or the default. Secrets are hidden. The exit
    code is 1 if a process would not start. Nothing is started, and no network is used but that of
    NIVISCO_KMS, which unwraps the keys as at a start.
    """
    problems = 0
    for process in processes or PROCESSES:
        found, wrong = find(os.environ, file, process)
        if not wrong:
            wrong = list(_refused(process, found))
        rows = [_row(setting, found.get(setting.name)) for setting in settings_of(process)]
        click.echo("\n".join([process, *_aligned(rows), *(f"  wrong: {each}" for each in wrong)]))
        problems += len(wrong)
    for each in unknown_variables(os.environ):
        click.echo(f"note: {each}")
    if problems:
        click.echo(f"{problems} problem{'s' if problems > 1 else ''}.", err=True)
        context.exit(1)


def _row(setting: Setting, found: Found | None) -> tuple[str, str, str]:
    if found is None:
        return setting.name, setting.default or "", "default" if setting.default else "not set"
    return setting.name, _HIDDEN if setting.is_secret else _shown(setting, found), found.source


def _shown(setting: Setting, found: Found) -> str:
    """Return a value without the user and password that a URL may have."""
    is_url = setting.name.endswith("_URL")
    return re.sub(r"^(\w+://)?.*@", r"\1***@", found.value, flags=re.S) if is_url else found.value


def _aligned(rows: list[tuple[str, str, str]]) -> Iterator[str]:
    names, values = (max(len(row[column]) for row in rows) for column in (0, 1))
    for name, value, source in rows:
        yield f"  {name:{names}}  {value:{values}}  {source}"


def _refused(process: str, found: Mapping[str, Found]) -> Iterator[str]:
    """Yield a sentence for each setting that the process would refuse.

    It stops at its first one; here the settings that its sentence names are left out, and the rest
    is read again. What is wrong only without them is no problem of its own.
    """
    left = {name: each.value for name, each in found.items()}
    wrong: set[str] = set()
    while True:
        try:
            _read(process, left)
        except (ValueError, OSError) as error:
            named = set(re.findall(r"NIVISCO_[A-Z_]*[A-Z]", str(error)))
            if named & wrong:
                return
            yield sentence(error)
            wrong |= named
            if not named & left.keys():
                return
            left = {name: value for name, value in left.items() if name not in named}
        else:
            return


def _read(process: str, environ: Mapping[str, str]) -> None:
    """Read the settings as the process does at its start, with their certificates.

    Raises:
        ValueError: one cannot be used.
        OSError: the host of an address to listen on is unknown.
    """
    logs.level_of(environ)
    Rotation.from_environment(environ)
    if process == "core":
        _read_core(environ)
    elif process == "adapter":
        _read_adapter(environ)
    elif process == "scheduler":
        from rpc.tls import check_transport
        from scheduler.settings import SchedulerSettings

        scheduler = SchedulerSettings.from_environment(environ)
        check_transport(scheduler.core_target, scheduler.core_tls)


def _read_core(environ: Mapping[str, str]) -> None:
    from core.database.engines import connector
    from core.server.listening import Listener
    from core.server.settings import CoreSettings

    core = CoreSettings.from_environment(environ)
    connector(core.database_url)
    Listener(core.listen, core.tls)


def _read_adapter(environ: Mapping[str, str]) -> None:
    from adapter.plain_http import check_may_listen
    from adapter.settings import AdapterSettings
    from adapter.tls import PublicCertificate
    from rpc.tls import check_transport

    adapter = AdapterSettings.from_environment(environ)
    check_transport(adapter.core_target, adapter.core_tls)
    if adapter.tls is None:
        check_may_listen(adapter.host, adapter.port, None, adapter.trusted_proxies)
    else:
        PublicCertificate(adapter.tls)
