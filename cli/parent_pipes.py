"""A child's ends of two pipes to its parent: one to end with the parent, one to report readiness.

The parent is `nivisco up`, or a process with several workers. It alone holds the write end of the
first pipe and never writes, so the pipe closes when the parent ends, also by SIGKILL. A thread
waits for that and ends this process at once, even while its event loop hangs; the databases
survive that. Without a parent there are no pipes.
"""

import contextlib
import os
import threading

from cli.failures import SettingsError

PARENT_PIPE = "NIVISCO_PARENT_PIPE"
READY_PIPE = "NIVISCO_READY_PIPE"
HELD_DESCRIPTORS = "NIVISCO_HELD_DESCRIPTORS"
"""Descriptors that this process passes on to its own children, such as a lock's."""
WORKER = "NIVISCO_WORKER"
"""The number of this worker, for its log lines."""
ORPHANED_EXIT_CODE = 70


class ParentPipes:
    """This process's pipes to the parent that started it, if any."""

    def __init__(self) -> None:
        """Take the pipes out of the environment, so that own children do not inherit them.

        Raises:
            SettingsError: a variable is not a descriptor.
        """
        self._parent = take_descriptor(PARENT_PIPE)
        self._ready = take_descriptor(READY_PIPE)
        if self._parent is not None:
            threading.Thread(
                target=_end_with_parent, args=[self._parent], name="parent-watch", daemon=True
            ).start()

    @property
    def has_parent(self) -> bool:
        """Whether `nivisco up` or a parent of workers started this process."""
        return self._parent is not None

    def report_ready(self, address: str) -> None:
        """Report to the parent, once, that this process serves at `address`."""
        if self._ready is None:
            return
        with contextlib.suppress(OSError):  # the parent ended, and this process is about to
            os.write(self._ready, f"{address}\n".encode())
            os.close(self._ready)
        self._ready = None


def inherited_descriptors() -> list[int]:
    """Return the descriptors that this process passes on to its own children."""
    return [int(each) for each in os.environ.get(HELD_DESCRIPTORS, "").split(",") if each]


def take_descriptor(variable: str) -> int | None:
    """Remove a variable from the environment and return its descriptor; None if it is not set.

    Raises:
        SettingsError: the variable is not a descriptor.
    """
    text = os.environ.pop(variable, "")
    if not text:
        return None
    try:
        descriptor = int(text)
        os.set_inheritable(descriptor, False)
    except (ValueError, OSError):
        raise SettingsError(
            f"{variable} is set by `nivisco` for its own children. Unset it."
        ) from None
    return descriptor


def _end_with_parent(descriptor: int) -> None:
    with contextlib.suppress(OSError):
        while os.read(descriptor, 64):
            pass
    os._exit(ORPHANED_EXIT_CODE)
