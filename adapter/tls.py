"""The certificate of the public endpoint, with TLS 1.2 and 1.3 only."""

import logging
import ssl
from typing import Final

from rpc.certificates import KeyPairFiles

logger = logging.getLogger("adapter")

CIPHERS: Final = "ECDHE+AESGCM:ECDHE+CHACHA20"
"""Of TLS 1.2: forward secrecy and authenticated encryption only, as in Mozilla's intermediate
configuration (https://wiki.mozilla.org/Security/Server_Side_TLS). TLS 1.3 has no others."""
HSTS: Final = "max-age=31536000"
"""RFC 6797: one year. Without subdomains, which may belong to other services."""


class PublicCertificate:
    """The certificate for new connections. Reloading it does not affect open connections."""

    def __init__(self, files: KeyPairFiles) -> None:
        """Read the files.

        Raises:
            ValueError: a file cannot be read or used; the message names the setting.
        """
        self._files = files
        self._current = _context(files)
        self.context: Final = self._current
        """The context to listen with. Every handshake uses the current certificate."""
        self.context.sni_callback = self._use_current

    def reload(self) -> None:
        """Read the files again for new connections; unusable files change nothing."""
        try:
            self._current = _context(self._files)
        except ValueError as error:
            logger.error(  # noqa: TRY400 - the reason suffices
                "certificates not reloaded", extra={"reason": str(error)}
            )
        else:
            logger.info("certificate reloaded")

    def _use_current(
        self, connection: ssl.SSLObject, _server_name: str | None, _context: ssl.SSLContext
    ) -> None:
        """Set the current context for a handshake, also for one without a server name."""
        connection.context = self._current


def _context(files: KeyPairFiles) -> ssl.SSLContext:
    files.read()  # for its error texts: OpenSSL's name neither the file nor the reason
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION
    context.set_ciphers(CIPHERS)
    context.set_alpn_protocols(["http/1.1"])
    try:
        # An empty password keeps OpenSSL from prompting on the terminal.
        context.load_cert_chain(files.certificate.path, files.key.path, password="")
    except OSError as error:  # ssl.SSLError is one
        why = getattr(error, "reason", None) or error.strerror
        raise ValueError(f"{files.certificate} and {files.key} cannot be used: {why}") from None
    return context
