"""The `nivisco` command and its subcommands, each in its own module."""

import importlib
import os
import sys

import click

import cli.completion  # noqa: F401 - registers our completion classes with click
from cli.groups import Group
from cli.settings import config_option

# gRPC reads this when it is imported. Its lines are not JSON, and at INFO, its default, each failed
# TLS handshake writes one.
os.environ.setdefault("GRPC_VERBOSITY", "ERROR")

CORE_DUMPS = "NIVISCO_CORE_DUMPS"
_PR_SET_DUMPABLE = 4
_COMMANDS = {
    "up": "cli.up:up",
    "demo": "cli.demo:demo",
    "call": "cli.call:call",
    "login": "cli.login:login",
    "logout": "cli.login:logout",
    "status": "cli.status:status",
    "open": "cli.status:open_",
    "admin": "cli.admin:admin",
    "doctor": "cli.doctor:doctor",
    "payments": "cli.payments:payments",
    "refunds": "cli.refunds:refunds",
    "queue": "cli.set_aside:queue",
    "retention": "cli.retention:retention",
    "secrets": "cli.sealing:secrets",
    "user": "cli.user:user",
    "business": "cli.business:business",
    "stop": "cli.stops:stop",
    "start": "cli.stops:start",
    "stops": "cli.stops:stops",
    "audit": "cli.audit:audit",
    "clock": "cli.test_clock:clock",
    "logs": "cli.log_reader:logs",
    "profile": "cli.profile:profile",
    "migrate": "cli.processes:migrate",
    "core": "cli.processes:core",
    "adapter": "cli.processes:adapter",
    "scheduler": "cli.processes:scheduler",
    "sandbox": "cli.processes:sandbox",
    "config": "cli.config:config",
    "completion": "cli.completion:completion",
}
_WITHOUT_SETTINGS = ("config", "completion")
"""The commands that use no settings. All others have the option --config."""


class _Commands(Group):
    """Imports a command's module when the command runs, so that the others start fast."""

    _config = config_option()

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """Return the names in the order in which a newcomer needs them."""
        return list(_COMMANDS)

    def find_command(  # click's signature
        self,
        ctx: click.Context,  # noqa: ARG002
        cmd_name: str,
    ) -> click.Command | None:
        """Return the command, or None if there is none of that name."""
        if cmd_name not in _COMMANDS:
            return None
        module, _, name = _COMMANDS[cmd_name].partition(":")
        command = getattr(importlib.import_module(module), name)
        assert isinstance(command, click.Command)
        if cmd_name not in _WITHOUT_SETTINGS and command.params[-1:] != [self._config]:
            command.params.append(self._config)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Return the command and its arguments.

        Raises:
            click.UsageError: there is none of that name; the message has the one that it resembles.
        """
        name = args[0]
        if name in _COMMANDS or name.startswith("-") or ctx.resilient_parsing:
            return super().resolve_command(ctx, args)
        from transcoding.actions import build_catalogue
        from transcoding.field_problems import did_you_mean

        if name in build_catalogue():
            raise click.UsageError(f"'{name}' is an action: `nivisco call {name}`.", ctx)
        hint = did_you_mean(name, _COMMANDS) or "."
        raise click.UsageError(f"No such command '{name}'{hint}", ctx)


@click.group(
    cls=_Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(None, "-V", "--version", package_name="nivisco", prog_name="nivisco")
def main() -> None:
    """Nivisco Payments: a payment API for many businesses.

    `nivisco up` starts everything on this machine, with a sandbox in place of the card gateways.
    `nivisco demo` then makes a merchant to try it with, and `nivisco call` sends a request.
    """
    if os.environ.get(CORE_DUMPS) != "1":
        forbid_core_dumps()


def forbid_core_dumps() -> None:
    """Keep this process's memory, with its secrets, from core dumps and other processes' debuggers.

    The limit of size is inherited by children. Linux writes no dump for a process that is not
    dumpable, even to a program that collects them, for which the limit does not count; and only a
    privileged process can attach to it or read its memory and environment: prctl(2), core(5).
    """
    import ctypes
    import resource

    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
