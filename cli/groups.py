"""A group of commands whose summaries are not cut."""

import inspect

import click


class Group(click.Group):
    """Lists its commands with the first sentence of their help, as a whole.

    click ends it with an ellipsis where the line ends, and after 45 characters in completions.
    """

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return the command, with its summary; None if there is none of that name."""
        command = self.find_command(ctx, cmd_name)
        if command is not None and command.short_help is None and command.help:
            paragraph = inspect.cleandoc(command.help).partition("\n\n")[0]
            command.short_help = " ".join(paragraph.split()).partition(". ")[0].rstrip(".") + "."
        return command

    def find_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return the command without its summary; None if there is none of that name."""
        return super().get_command(ctx, cmd_name)
