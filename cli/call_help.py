"""Says what an action takes, answers and fails with, as the reference does; sends nothing."""

from collections.abc import Iterable

import click

from cli.payload import describe
from portal.reference.model import Action, Field

_WIDTH = 100


def action_help(action: Action) -> str:
    """Return the help of one action, no wider than the terminal."""
    formatter = click.HelpFormatter(max_width=_WIDTH)
    formatter.write_usage("nivisco call", f"{action.name} [KEY=VALUE | @FILE | -]...")
    formatter.write_paragraph()
    with formatter.indentation():
        formatter.write_text(_plain(action.description))
        if action.admin_only:
            formatter.write_text("For the admin business only.")
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
