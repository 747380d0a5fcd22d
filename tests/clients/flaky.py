"""A real HTTP server before the JSON endpoint that fails first, as told, and notes what came."""

import json
import socket
import struct
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

RESET_AFTER = "reset_after"
"""Pass the request on, and reset the connection instead of answering."""
Trouble = int | str


class Flaky:
    """What is still to go wrong, and the requests that came."""

    def __init__(self, url: str) -> None:
        self.behind = url
        self.url = ""
        self.troubles: list[Trouble] = []
        self.came: list[dict[str, Any]] = []


@contextmanager
def running_flaky(url: str) -> Iterator[Flaky]:
    """Serve until the block ends."""
    flaky = Flaky(url)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            flaky.came.append(json.loads(body))
            trouble = flaky.troubles.pop(0) if flaky.troubles else None
            if isinstance(trouble, int):
                retry = {"Retry-After": "1"} if trouble == 429 else {}
                code = {429: "RATE_LIMITED", 503: "SERVICE_UNAVAILABLE"}.get(trouble, "INTERNAL")
                answer = {"success": False, "error": "Not now", "code": code}
                self._answer(trouble, json.dumps(answer).encode(), retry)
                return
            status, text = _passed_on(flaky.behind, body)
            if trouble == RESET_AFTER:
                linger = struct.pack("ii", 1, 0)
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
                self.close_connection = True
                self.connection.close()
                return
            self._answer(status, text, {})

        def _answer(self, status: int, body: bytes, headers: dict[str, str]) -> None:
            self.send_response(status)
            for name, value in ({"Content-Length": str(len(body))} | headers).items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002 - theirs
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        flaky.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield flaky
        server.shutdown()
        thread.join()


def _passed_on(url: str, body: bytes) -> tuple[int, bytes]:
    try:
        with urllib.request.urlopen(url, body, timeout=30) as answer:  # noqa: S310 - loopback
            return answer.status, answer.read()
    except urllib.error.HTTPError as refused:
        with refused:
            return refused.code, refused.read()
