"""Imports everything once and forks a process for each order, so that a start costs no imports.

Reads orders from its standard input, a JSON object a line, and answers on its standard output:
`{"pid": …}` for each order, `{"ended": pid, "signal": …}` for each process that ended. It has no
thread, no event loop and no gRPC object of its own, which a fork would break. When its input ends,
it ends its children, by their pids, and itself.
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
from tests.prove import core_process, sandbox_and_adapter

_ROLES: dict[str, Callable[..., None]] = {
    "core": core_process.main,
    "sandbox": sandbox_and_adapter.sandbox,
    "adapter": sandbox_and_adapter.adapter,
}


def main() -> None:
    """Serve orders until the input ends."""
    validation.compile_all()
    # Reading the certificate authorities anew in each core takes longer than all else.
    trusted = ssl.create_default_context
    ssl.create_default_context = functools.cache(trusted)  # type: ignore[assignment] # same calls
    core_process.warm_up()
    gc.collect()
    gc.freeze()
    assert len(os.listdir("/proc/self/task")) == 1, "what forks has one thread"  # noqa: PTH208
    woken, wake = os.pipe()
    os.set_blocking(wake, False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
    children: set[int] = set()
    _say({"ready": True})
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
            *orders, unread = (unread + read).split(b"\n")
            for order in orders:
                children.add(_fork(json.loads(order)))
    for pid in children:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def _fork(order: dict[str, Any]) -> int:
    pid = os.fork()
    if pid:
        _say({"pid": pid})
        return pid
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    code = 1
    try:
        nothing = os.open(os.devnull, os.O_RDWR)
        os.dup2(nothing, 0)
        os.dup2(nothing, 1)
        _ROLES[order.pop("role")](**order)
        code = 0
    except BaseException:  # noqa: BLE001 - the forked process must never go on as the fork_server
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
        _say({"ended": pid, "signal": os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0})


def _say(answer: dict[str, Any]) -> None:
    os.write(1, json.dumps(answer).encode() + b"\n")


if __name__ == "__main__":
    main()
