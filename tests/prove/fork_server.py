"""The fork server: imports everything once and forks cores, so that a start costs no imports.

Reads commands from standard input, one JSON object a line. Prints `{"pid": …}` for each command and
`{"ended": pid, "signal": …}` for each process that ended. It has no thread, event loop or gRPC
object, because a fork would break them. When its input ends, it kills its children and exits.
"""

import contextlib
import functools
import gc
import json
import os
import select
import signal
import ssl
import sys
import traceback
from collections.abc import Callable
from typing import Any

from core.server import validation
from tests.prove import core_process, sandbox_process

_ROLES: dict[str, Callable[..., None]] = {
    "core": core_process.main,
    "sandbox": sandbox_process.main,
}


def main() -> None:
    """Serve commands until the input ends."""
    validation.compile_all()
    # Reading the certificate authorities takes longer than the rest of a start.
    trusted = ssl.create_default_context
    ssl.create_default_context = functools.cache(trusted)  # type: ignore[assignment] # same calls
    core_process.warm_up()
    gc.collect()
    gc.freeze()
    assert len(os.listdir("/proc/self/task")) == 1, "a fork with other threads is unsafe"  # noqa: PTH208
    woken, wake = os.pipe()
    os.set_blocking(wake, False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
    children: set[int] = set()
    _print({"ready": True})
    unread = b""
    while True:
        readable, _, _ = select.select([0, woken], [], [])
        if woken in readable:
            os.read(woken, 4096)
            _reap(children)
        if 0 in readable:
            read = os.read(0, 65536)
            if not read:
                break
            *commands, unread = (unread + read).split(b"\n")
            for command in commands:
                children.add(_fork(json.loads(command)))
    for pid in children:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def _fork(command: dict[str, Any]) -> int:
    pid = os.fork()
    if pid:
        _print({"pid": pid})
        return pid
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    code = 1
    try:
        nothing = os.open(os.devnull, os.O_RDWR)
        os.dup2(nothing, 0)
        os.dup2(nothing, 1)
        _ROLES[command.pop("role")](**command)
        code = 0
    except BaseException:  # noqa: BLE001 - a child must not continue as fork server
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(code)


def _reap(children: set[int]) -> None:
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if pid == 0:
            return
        children.discard(pid)
        _print({"ended": pid, "signal": os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0})


def _print(answer: dict[str, Any]) -> None:
    os.write(1, json.dumps(answer).encode() + b"\n")


if __name__ == "__main__":
    main()
