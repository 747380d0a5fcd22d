"""A small HTTP server with scripted failures that records its requests."""

import json
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BufferedIOBase
from typing import Any

DROPPED = "dropped"
SLOW = "slow"
SLOW_HEAD = "slow head"
"""The response arrives byte by byte, faster than any timeout of a single read."""
SLOW_BODY = "slow body"
"""As above, after its headers."""
_DRIP_SECONDS = 0.2


@dataclass(frozen=True, slots=True)
class Response:
    """A scripted response."""

    status: int
    body: str
    headers: dict[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class Failing:
    """The server's URL, script and received requests."""

    url: str = ""
    script: list[Response | str] = field(default_factory=list)
    received: list[dict[str, Any]] = field(default_factory=list)
    request_ids: list[str] = field(default_factory=list)
    moments: list[float] = field(default_factory=list)
    released: threading.Event = field(default_factory=threading.Event)

    def play(self, script: Sequence[Response | str]) -> None:
        """Set the script of the next requests; its last step repeats."""
        self.script = list(script)
        self.received.clear()
        self.request_ids.clear()
        self.moments.clear()


def _drip(out: BufferedIOBase, does: str, released: threading.Event) -> None:
    """Write a response byte by byte, until the client has given up."""
    head, body = "HTTP/1.1 200 OK\r\nContent-Length: 50\r\n", "x" * 50
    slow = f"{head}X-Slow: {body}\r\n\r\n{body}"
    if does == SLOW_BODY:
        out.write(f"{head}\r\n".encode())
        slow = body
    with suppress(OSError):
        for each in slow:
            out.write(each.encode())
            if released.wait(_DRIP_SECONDS):
                return


@contextmanager
def failing_server(clock: Any) -> Iterator[Failing]:
    """Serve until the block ends."""
    failing = Failing()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            failing.moments.append(clock())
            sent = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            failing.received.append(sent)
            failing.request_ids.append(self.headers["X-Request-Id"])
            does = failing.script.pop(0) if len(failing.script) > 1 else failing.script[0]
            if isinstance(does, str):
                self.close_connection = True
                if does == SLOW:
                    failing.released.wait(60)
                if does in (SLOW_HEAD, SLOW_BODY):
                    _drip(self.wfile, does, failing.released)
                return
            content = does.body.encode()
            self.send_response(does.status)
            for name, value in does.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_args: Any) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        failing.url = f"http://127.0.0.1:{server.server_port}/"
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield failing
        failing.released.set()
        server.shutdown()
        thread.join()
