"""The `nivisco` command and its subcommands, each in its own module."""

import importlib
import os

import click

import cli.completion  # noqa: F401 - registers our completion classes with click

# gRPC reads this when it is imported. Its lines are not JSON, and at INFO, its default, each failed
# TLS handshake writes one.
os.environ.setdefault("GRPC_VERBOSITY", "ERROR")

_COMMANDS = {
    "up": "cli.up:up",
    "demo": "cli.demo:demo",
    "call": "cli.call:call",
    "admin": "cli.admin:admin",
    "doctor": "cli.doctor:doctor",
    "payments": "cli.payments:payments",
    "refunds": "cli.refunds:refunds",
    "queue": "cli.set_aside:queue",
    "business": "cli.business:business",
    "clock": "cli.test_clock:clock",
    "profile": "cli.profile:profile",
    "migrate": "cli.processes:migrate",
    "core": "cli.processes:core",
    "adapter": "cli.processes:adapter",
    "scheduler": "cli.processes:scheduler",
    "sandbox": "cli.processes:sandbox",
    "completion": "cli.completion:completion",
}


class _Commands(click.Group):
    """Imports a command's module when the command runs, so that the others start fast."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """Return the names in the order in which a newcomer needs them."""
        return list(_COMMANDS)

    def get_command(  # click's signature
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
        return command


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="nivisco", prog_name="nivisco")
def main() -> None:
    """Nivisco Payments: a payment API for many businesses.

    `nivisco up` starts everything on this machine, with a sandbox in place of the card gateways.
    `nivisco demo` then makes a merchant to try it with, and `nivisco call` sends a request.
    """
