"""Completes the arguments of `nivisco call`: actions, their fields, and what a field may hold."""

import click
from click.shell_completion import CompletionItem

from cli.completion import PREFIX
from cli.payload import paths
from portal.reference.build import reference
from portal.reference.model import Field, Kind


def complete_action(
    _context: click.Context, _parameter: click.Parameter, incomplete: str
) -> list[CompletionItem[str]]:
    """Return the actions that begin so, with their summaries."""
    return [
        CompletionItem(action.name, help=action.summary)
        for action in reference().actions().values()
        if action.name.startswith(incomplete)
    ]


def complete_field(
    context: click.Context, _parameter: click.Parameter, incomplete: str
) -> list[CompletionItem[str]]:
    """Return the fields that begin so, or the words that the field may hold.

    zsh hands `env=T` over in one piece; bash splits it into `env`, `=` and `T`.
    """
    action = reference().actions().get(context.params.get("action") or "")
    if action is None:
        return []
    if incomplete.startswith("@"):
        return [CompletionItem(incomplete, type="file")]
    known = paths(action.request)
    before = [each for each in context.params.get("arguments") or () if each != "="]
    key, equals, begun = incomplete.partition("=")
    if equals and key in known:
        return [CompletionItem(f"{key}={word}") for word in _words(known[key], begun)]
    if before and before[-1] in known:
        return [CompletionItem(word) for word in _words(known[before[-1]], incomplete)]
    given = {each.partition("=")[0] for each in before}
    return [
        CompletionItem(f"{path}=", type=PREFIX, help=each.description)
        for path, each in known.items()
        if path.startswith(incomplete) and path not in given
    ]


def _words(field: Field, begun: str) -> list[str]:
    words = ["true", "false"] if field.kind is Kind.BOOLEAN else [w.word for w in field.words]
    return [word for word in words if word.lower().startswith(begun.lower())]
