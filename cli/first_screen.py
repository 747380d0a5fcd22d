"""What `nivisco up` prints on the terminal: where keys are, never a key."""

import contextlib
import shlex
import shutil
import sys
from importlib.metadata import version
from pathlib import Path

import click

from cli.addresses import Address
from cli.data_dir import DataDir

_REGISTRATION = (
    '"action": "register_business", "new_business": {"name": "Northwind Coffee", '
    '"email": "owner@northwindcoffee.com", "domain": "northwindcoffee.com"}'
)


def say(line: str) -> None:
    """Print a line now; a closed terminal must not keep `up` from stopping its children."""
    with contextlib.suppress(OSError):
        click.echo(line)


def first_screen(
    data_dir: DataDir, http: Address, cores: str, metrics: Address, sandbox: Address | None
) -> str:
    """Return the text that shows where everything is and what to try first.

    `metrics` is where the first process serves them, the others above it; port 0: on free ports.
    """
    where_metrics_are = '"metrics served" in the logs; --metrics HOST:PORT for fixed ports'
    if metrics.port:
        where_metrics_are = f"{metrics.reachable().url()}/metrics, and on the ports above"
    where_tests_go = "the gateways' own test systems" if sandbox is None else sandbox.url()
    note = "" if sandbox is None else " (the sandbox: no real money)"
    option = "" if data_dir.is_default else f" --data-dir {shlex.quote(str(data_dir.path))}"
    demo = f"""
Make a demo merchant with a card, and print its first requests (in another terminal):

{program()} demo{option}
"""
    return f"""
Nivisco Payments {version("nivisco")} is running.

  JSON endpoint  {http.url()}/
  portal         {http.url()}/portal
  reference      {http.url()}/docs
  live test      {http.url()}/live-test
  gRPC           {cores}
  TEST payments  {where_tests_go}{note}
  data           {data_dir.path}
  admin's key    {data_dir.admin}
  logs           {data_dir.logs}
  metrics        {where_metrics_are}
{"" if sandbox is None else demo}
Register a business (paste it into another terminal):

{registration(data_dir, http)}

Ctrl-C stops everything."""


def registration(data_dir: DataDir, http: Address) -> str:
    """Return a shell command that registers a business.

    sed adds the action to the credentials in admin.json, and a pipe carries them: every user of the
    machine can read a command's arguments.
    """
    key_file = shlex.quote(str(data_dir.admin))
    return f"sed 's/}}$/, {_REGISTRATION}}}/' {key_file} | curl -s {http.url()}/ -d @-"


def program() -> str:
    """Return the command that runs this program again, from the same directory."""
    invoked = Path(sys.argv[0])
    if invoked.name != "nivisco":  # python -m cli
        return "nivisco"
    found = shutil.which("nivisco")
    is_on_path = found is not None and Path(found).resolve() == invoked.resolve()
    return "nivisco" if is_on_path else shlex.quote(sys.argv[0])
