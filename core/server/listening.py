"""Opens the core's address: loopback, a unix socket, or mutual TLS.

API keys travel as metadata, so other machines can reach the port with mutual TLS only.
"""

import errno
import logging
import os
import socket
import stat
import threading
from collections.abc import Callable
from pathlib import Path
from typing import cast

import grpc
import grpc.aio

from rpc.certificates import MutualTls, MutualTlsFiles
from rpc.loopback import UNIX_SCHEME, resolves_to_loopback

logger = logging.getLogger("core")

_LONGEST_PATH = 107
"""Bytes: sun_path of unix(7) has 108, with a zero at the end."""


class Listener:
    """The address that the core listens on; its certificates can be reloaded."""

    def __init__(self, address: str, files: MutualTlsFiles | None) -> None:
        """Check the address and read the certificates; nothing is opened yet.

        Raises:
            ValueError: the address or a certificate is unusable; the message names the setting.
            OSError: the host is unknown.
        """
        self._address = address
        self._files = files
        self._tls = None if files is None else files.read()
        self._renewed: MutualTls | None = None
        self._lock = threading.Lock()
        if address.startswith(UNIX_SCHEME):
            _check_socket_path(self._path, files)
        elif files is None and not resolves_to_loopback(_host(address)):
            raise ValueError(
                f"NIVISCO_GRPC {address} can be reached from other machines, which needs mutual "
                "TLS: set NIVISCO_GRPC_TLS_CERTIFICATE_FILE, NIVISCO_GRPC_TLS_KEY_FILE and "
                "NIVISCO_GRPC_TLS_CLIENT_CA_FILE, or listen on 127.0.0.1:50051 or unix:/path"
            )

    def open(self, server: grpc.aio.Server) -> str:
        """Add the address to the server and return it: `host:port` or `unix:/path`.

        Raises:
            OSError: the address is in use, or is not one of this machine.
        """
        if self._address.startswith(UNIX_SCHEME):
            _open_socket(server, self._path)
            return self._address
        try:
            port = self._open_port(server)
        except RuntimeError:
            port = 0
        if not port:
            raise OSError(
                f"cannot listen on {self._address}: it is taken, or not an address of this machine"
            )
        return f"{self._address.rpartition(':')[0]}:{port}"

    def reload(self) -> None:
        """Reload the certificates for new connections; unusable files change nothing."""
        assert self._files is not None, "a listener without TLS has no certificates"
        try:
            renewed = self._files.read()
        except ValueError as error:
            logger.error("certificates not reloaded", extra={"reason": str(error)})  # noqa: TRY400 - no trace
            return
        with self._lock:
            self._renewed = renewed
        logger.info("certificates reloaded")

    @property
    def _path(self) -> Path:
        return Path(self._address.removeprefix(UNIX_SCHEME))

    def _open_port(self, server: grpc.aio.Server) -> int:
        if self._tls is None:
            return server.add_insecure_port(self._address)
        # gRPC documents that the callback may return None; its type stubs do not.
        fetch = cast(Callable[[], grpc.ServerCertificateConfiguration], self._take_renewed)
        credentials = grpc.dynamic_ssl_server_credentials(
            _configuration(self._tls), fetch, require_client_authentication=True
        )
        return server.add_secure_port(self._address, credentials)

    def _take_renewed(self) -> grpc.ServerCertificateConfiguration | None:
        """Return renewed certificates, or None for no change.

        gRPC calls this before every handshake, from its own threads.
        """
        with self._lock:
            renewed, self._renewed = self._renewed, None
        return None if renewed is None else _configuration(renewed)


def _configuration(tls: MutualTls) -> grpc.ServerCertificateConfiguration:
    return grpc.ssl_server_certificate_configuration(
        [(tls.pair.private_key, tls.pair.certificate_chain)], tls.authorities
    )


def _host(address: str) -> str:
    host, colon, port = address.rpartition(":")
    bare = host.removeprefix("[").removesuffix("]")
    if not (colon and bare and port.isascii() and port.isdecimal()):
        raise ValueError("NIVISCO_GRPC must be host:port such as 127.0.0.1:50051, or unix:/path")
    return bare


def _check_socket_path(path: Path, files: MutualTlsFiles | None) -> None:
    if files is not None:
        raise ValueError(
            f"NIVISCO_GRPC {UNIX_SCHEME}{path} stays on this machine and takes no TLS: "
            "unset the NIVISCO_GRPC_TLS_* settings, or listen on host:port"
        )
    if not path.is_absolute() or len(os.fsencode(path)) > _LONGEST_PATH:
        raise ValueError(
            "NIVISCO_GRPC must name a unix socket by an absolute path of at most "
            f"{_LONGEST_PATH} bytes, such as unix:/run/nivisco/core.sock"
        )
    try:
        parent = path.parent.stat()
    except OSError as error:
        raise ValueError(
            f"NIVISCO_GRPC: the directory {path.parent} cannot be used: {error.strerror}"
        ) from None
    if not stat.S_ISDIR(parent.st_mode):
        raise ValueError(f"NIVISCO_GRPC: {path.parent} is not a directory")
    if parent.st_uid not in (0, os.geteuid()) or parent.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise ValueError(
            f"NIVISCO_GRPC: others may write to {path.parent} and could put their own socket in "
            "place of the core's. Take a directory that only its owner may write to, this "
            "process's user or root: mode 755 or 700"
        )


def _open_socket(server: grpc.aio.Server, path: Path) -> None:
    """Listen on a socket that only this user may connect to. gRPC removes it at its stop."""
    _remove_stale(path)
    before = os.umask(0o177)  # a chmod after bind() would come too late
    try:
        server.add_insecure_port(f"{UNIX_SCHEME}{path}")
    except RuntimeError:
        raise OSError(f"cannot listen on {path}: this user may not make a socket there") from None
    finally:
        os.umask(before)


def _remove_stale(path: Path) -> None:
    """Remove the socket of a core that was killed.

    gRPC would also remove a socket that another process listens on.

    Raises:
        OSError: the path is no socket, or another process listens on it.
    """
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise OSError(f"cannot listen on {path}: there is a file that is not a socket")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)  # EAGAIN: the queue of a listener is full
        failure = probe.connect_ex(os.fspath(path))
    if failure not in (errno.ECONNREFUSED, errno.ENOENT):
        raise OSError(f"cannot listen on {path}: another process listens there")
    path.unlink(missing_ok=True)
