"""Prints JSON for a person, coloured where a terminal shows it."""

import os
import sys
from typing import Any

import click

from transcoding import exact_json

_COLOURS = {"key": "cyan", "string": "green", "number": "yellow", "word": "magenta"}


def print_json(value: Any) -> None:
    """Print the value on stdout, indented; in colours on a terminal unless NO_COLOR is set."""
    text = exact_json.write(value, indent=2)
    if _is_coloured():
        text = "".join(
            click.style(part, fg=_COLOURS[kind]) if kind else part
            for kind, part in exact_json.tokens(text)
        )
    click.echo(text)


def _is_coloured() -> bool:
    """Tell whether stdout shows colours and nobody asked for none (https://no-color.org)."""
    return (
        sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
    )
