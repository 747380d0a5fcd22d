"""The two ways a command ends early, each with one line for a person; nothing is caught here."""

import click


class Failure(click.ClickException):
    """Something that the command needs is not as it must be. Exit code 1."""


class SettingsError(click.ClickException):
    """An option or a setting cannot work; nothing was started. Exit code 2."""

    exit_code = 2
