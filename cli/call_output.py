"""Formats what `nivisco call` prints: JSON, the list of actions and the help of one action."""

import os
import sys
from collections.abc import Iterable, Mapping
from typing import Any

import click

from cli.payload import describe
from cli.tables import table
from portal.reference.model import Action, Field
from transcoding import actions, exact_json

_WIDTH = 100
_COLOURS = {"key": "cyan", "string": "green", "number": "yellow", "word": "magenta"}


def print_json(value: Any) -> None:
    """Print the value on stdout, indented; in colours on a terminal unless NO_COLOR is set."""
    text = exact_json.write(value, indent=2)
    if is_coloured():
        text = "".join(
            click.style(part, fg=_COLOURS[kind]) if kind else part
            for kind, part in exact_json.tokens(text)
        )
    click.echo(text)


def print_table(values: Mapping[str, Any]) -> None:
    """Print a response without its `success` on stdout, as `table` formats it."""
    click.echo(table({name: each for name, each in values.items() if name != "success"}))


def is_coloured() -> bool:
    """Return whether stdout shows colours; NO_COLOR turns them off (https://no-color.org)."""
    return (
        sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
    )


def list_actions(catalogue: Mapping[str, actions.Action]) -> str:
    """Return the names of all actions, with their categories as headings."""
    categories: dict[str, list[str]] = {}
    for action in catalogue.values():
        categories.setdefault(action.category, []).append(f"  {action.name}")
    return "\n".join("\n".join([category, *names]) for category, names in categories.items())


def action_help(action: Action) -> str:
    """Return the help of one action, at most 100 columns wide."""
    formatter = click.HelpFormatter(max_width=_WIDTH)
    formatter.write_usage("nivisco call", f"{action.name} [KEY=VALUE | @FILE | -]...")
    formatter.write_paragraph()
    with formatter.indentation():
        formatter.write_text(_plain(action.description))
        if action.admin_only:
            formatter.write_text("For the admin business only.")
        if action.key_scope:
            formatter.write_text(f"The API key needs the scope {action.key_scope}.")
    _write(formatter, "Fields (* is required)", [_request_row(f) for f in _leaves(action.request)])
    _write(formatter, "Answer", [(f.path, _about(f)) for f in _leaves(action.response)])
    errors = [error for error in action.errors if error.has_code]
    rows = [(f"{e.reason} ({e.http_status})", _plain(e.description)) for e in errors]
    _write(formatter, "Errors", rows)
    formatter.write_paragraph()
    formatter.write_text(f"Begin with: nivisco call {action.name} --example > request.json")
    return formatter.getvalue().rstrip("\n")


def _write(formatter: click.HelpFormatter, title: str, rows: list[tuple[str, str]]) -> None:
    if rows:
        with formatter.section(title):
            formatter.write_dl(rows, col_max=36)


def _leaves(fields: Iterable[Field]) -> list[Field]:
    every = (each for top in fields for each in top.flattened())
    return [each for each in every if not each.fields]


def _request_row(field: Field) -> tuple[str, str]:
    return f"{field.path}{'*' if field.required else ''}", _about(field)


def _about(field: Field) -> str:
    limits = "; ".join(field.limits.sentences())
    kind = describe(field)
    parts = [f"[{kind}]", _plain(field.description)]
    if limits:
        parts.append(f"{limits[0].upper()}{limits[1:]}.")
    return " ".join(parts)


def _plain(text: str) -> str:
    return text.replace("`", "")
