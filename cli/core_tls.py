"""Finds out how commands prove themselves to the core; it opens no connection."""

from collections.abc import Mapping

from cli.failures import SettingsError
from cli.foreground import sentence
from rpc.tls import ClientTls, check_transport


def core_tls(target: str, environ: Mapping[str, str]) -> ClientTls | None:
    """Return the TLS to call the core at `target` with, or None for one on this machine.

    Raises:
        SettingsError: a file cannot be used, or the target cannot be called in this way.
    """
    try:
        tls = ClientTls.from_environment(environ)
        check_transport(target, tls)
    except ValueError as error:
        raise SettingsError(sentence(error)) from None
    return tls
