"""The command `completion`: prints what makes bash or zsh complete actions, fields and words."""

import click
from click.shell_completion import (
    BashComplete,
    ShellComplete,
    ZshComplete,
    add_completion_class,
)

PREFIX = "prefix"
"""The type of a completion that the user goes on writing, without a space after it."""
_PROGRAM = "nivisco"
_VARIABLE = f"_{_PROGRAM.upper()}_COMPLETE"
"""Where click looks for the shell that asks."""
_BASH_ELSE = """        elif [[ $type == 'plain' ]]; then"""
_BASH_PREFIX = """        elif [[ $type == 'prefix' ]]; then
            COMPREPLY+=($value)
            compopt -o nospace
"""
_ZSH_ELSE = """        elif [[ "$type" == "dir" ]]; then"""
_ZSH_PREFIX = """        elif [[ "$type" == "prefix" ]]; then
            compadd -U -S '' -- "$key"
"""


class _Bash(BashComplete):
    """Click's, which has no completion without a space after it."""

    source_template = BashComplete.source_template.replace(_BASH_ELSE, _BASH_PREFIX + _BASH_ELSE)


class _Zsh(ZshComplete):
    """Click's, which has no completion without a space after it."""

    source_template = ZshComplete.source_template.replace(_ZSH_ELSE, _ZSH_PREFIX + _ZSH_ELSE)


_SHELLS: dict[str, type[ShellComplete]] = {"bash": _Bash, "zsh": _Zsh}
for _shell in _SHELLS.values():
    add_completion_class(_shell)


@click.command()
@click.argument("shell", type=click.Choice([*_SHELLS]))
@click.pass_context
def completion(context: click.Context, shell: str) -> None:
    """Print the completion for a shell, to put where the shell reads it.

    \b
    echo 'eval "$(nivisco completion bash)"' >> ~/.bashrc
    echo 'eval "$(nivisco completion zsh)"' >> ~/.zshrc
    """  # noqa: D301 - \b keeps the lines apart
    root = context.find_root().command
    click.echo(_SHELLS[shell](root, {}, _PROGRAM, _VARIABLE).source())
