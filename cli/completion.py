"""Shell completion of actions, fields and field values, and the command that prints its script.

It is imported by every command, so it imports the reference only when a completion needs it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import click
from click.shell_completion import (
    BashComplete,
    CompletionItem,
    FishComplete,
    ShellComplete,
    ZshComplete,
    add_completion_class,
)

if TYPE_CHECKING:
    from portal.reference.model import Field

_PREFIX = "prefix"
"""The type of a completion that has no space after it, because the user continues it."""
_PROGRAM = "nivisco"
_VARIABLE = f"_{_PROGRAM.upper()}_COMPLETE"
"""The variable that tells click which shell requests completions."""
_BASH_ELSE = """        elif [[ $type == 'plain' ]]; then"""
_BASH_PREFIX = """        elif [[ $type == 'prefix' ]]; then
            COMPREPLY+=($value)
            compopt -o nospace
"""
_ZSH_ELSE = """        elif [[ "$type" == "dir" ]]; then"""
_ZSH_PREFIX = """        elif [[ "$type" == "prefix" ]]; then
            compadd -U -S '' -- "$key"
"""
_FISH_ELSE = """        else if test $metadata[1] = "plain";"""
_FISH_PREFIX = """        else if test $metadata[1] = "prefix";
            echo $metadata[2];
"""


class _Bash(BashComplete):
    """Click's script with the type `prefix` added."""

    source_template = BashComplete.source_template.replace(_BASH_ELSE, _BASH_PREFIX + _BASH_ELSE)


class _Zsh(ZshComplete):
    """Click's script with the type `prefix` added."""

    source_template = ZshComplete.source_template.replace(_ZSH_ELSE, _ZSH_PREFIX + _ZSH_ELSE)


class _Fish(FishComplete):
    """Click's script with the type `prefix` added, and with commas in what completions are about.

    fish adds no space after `=` and `.`, with which every prefix ends.
    """

    source_template = FishComplete.source_template.replace(
        _FISH_ELSE, _FISH_PREFIX + _FISH_ELSE
    ).replace('string split ","', 'string split -m 1 ","')


_SHELLS: dict[str, type[ShellComplete]] = {"bash": _Bash, "zsh": _Zsh, "fish": _Fish}
for _shell in _SHELLS.values():
    add_completion_class(_shell)


@click.command()
@click.argument("shell", type=click.Choice([*_SHELLS]))
@click.pass_context
def completion(context: click.Context, shell: str) -> None:
    """Print the completion script for a shell.

    \b
    echo 'eval "$(nivisco completion bash)"' >> ~/.bashrc
    echo 'eval "$(nivisco completion zsh)"' >> ~/.zshrc
    nivisco completion fish > ~/.config/fish/completions/nivisco.fish
    """  # noqa: D301 - \b keeps the lines apart
    root = context.find_root().command
    click.echo(_SHELLS[shell](root, {}, _PROGRAM, _VARIABLE).source())


def complete_action(
    _context: click.Context, _parameter: click.Parameter, incomplete: str
) -> list[CompletionItem[str]]:
    """Return the actions that begin with `incomplete`, with their summaries."""
    from portal.reference.build import reference

    return [
        CompletionItem(action.name, help=action.summary)
        for action in reference().actions().values()
        if action.name.startswith(incomplete)
    ]


def complete_field(
    context: click.Context, _parameter: click.Parameter, incomplete: str
) -> list[CompletionItem[str]]:
    """Return the fields that begin with `incomplete`, or the values that a field allows.

    zsh passes `env=T` as one word; bash splits it into `env`, `=` and `T`.
    """
    from cli.payload import paths
    from portal.reference.build import reference
    from portal.reference.model import Kind

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
        CompletionItem(
            path + ("." if each.kind is Kind.MAP else "="), type=_PREFIX, help=each.description
        )
        for path, each in known.items()
        if path.startswith(incomplete) and path not in given
    ]


def _words(field: Field, begun: str) -> list[str]:
    from portal.reference.model import Kind

    words = ["true", "false"] if field.kind is Kind.BOOLEAN else [w.word for w in field.words]
    return [word for word in words if word.lower().startswith(begun.lower())]
