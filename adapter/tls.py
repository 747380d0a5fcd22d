"""Keeps the public endpoint's certificate, TLS 1.2 and newer only; it opens no connection."""

import logging
import ssl
from typing import Final

from rpc.certificates import KeyPairFiles

logger = logging.getLogger("adapter")

CIPHERS: Final = "ECDHE+AESGCM:ECDHE+CHACHA20"
"""Of TLS 1.2: forward secrecy and authenticated encryption only, as in Mozilla's intermediate
configuration (https://wiki.mozilla.org/Security/Server_Side_TLS). TLS 1.3 has no others."""
HSTS: Final = "max-age=31536000"
"""A year, in seconds: RFC 6797. Subdomains are not ours to speak for."""


class PublicCertificate:
    """The certificate that new connections are shown; it can be read anew while old ones go on."""

    def __init__(self, files: KeyPairFiles) -> None:
        """Read the files.

        Raises:
            ValueError: a file cannot be read or used; the message names the setting.
        """
        self._files = files
        self._current = _context(files)
        self.context: Final = self._current
        """What to listen with. Every handshake then takes the current certificate."""
        self.context.sni_callback = self._take_current

    def reload(self) -> None:
        """Read the files anew for connections to come; what cannot be used changes nothing."""
        try:
            self._current = _context(self._files)
        except ValueError as error:
            logger.error("the certificate from before stays in use: %s", error)  # noqa: TRY400 - a sentence
        else:
            logger.info("certificate reloaded")

    def _take_current(
        self, connection: ssl.SSLObject, _server_name: str | None, _context: ssl.SSLContext
    ) -> None:
        """Give a handshake the current context; OpenSSL asks also where no name is asked for."""
        connection.context = self._current


def _context(files: KeyPairFiles) -> ssl.SSLContext:
    files.read()  # for its sentences: OpenSSL's own name neither file nor reason
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION
    context.set_ciphers(CIPHERS)
    context.set_alpn_protocols(["http/1.1"])
    try:
        # An empty password: OpenSSL would ask a person at the terminal for one.
        context.load_cert_chain(files.certificate.path, files.key.path, password="")
    except OSError as error:  # ssl.SSLError is one
        why = getattr(error, "reason", None) or error.strerror
        raise ValueError(f"{files.certificate} and {files.key} cannot be used: {why}") from None
    return context
