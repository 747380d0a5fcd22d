"""The errors that end a command early, each with one line for a person."""

import click


class Failure(click.ClickException):
    """Something that the command needs is missing, taken or unreachable. Exit code 1."""


class SettingsError(click.ClickException):
    """An option or a setting cannot work; nothing was started. Exit code 2."""

    exit_code = 2


def sentence(error: Exception) -> str:
    """Return the exception's text as a sentence."""
    text = (error.strerror if isinstance(error, OSError) else None) or str(error)
    return text[:1].upper() + text[1:].rstrip(".") + "."
