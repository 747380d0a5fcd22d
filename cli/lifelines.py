"""A child's end of the two pipes that its parent holds: one to die by, one to say "ready" on.

The parent is `nivisco up`, or a process with several workers.

The first says nothing: the parent alone holds its other end, so that it ends with the parent,
however the parent ends. A thread waits for that and ends the process at once, also while its event
loop hangs; the databases are made for it. Without a parent there are no pipes, and nothing happens.
"""

import contextlib
import os
import threading

from cli.failures import SettingsError

PARENT_PIPE = "NIVISCO_PARENT_PIPE"
READY_PIPE = "NIVISCO_READY_PIPE"
HELD_DESCRIPTORS = "NIVISCO_HELD_DESCRIPTORS"
"""Descriptors that show by being open that a process lives; its own children hold them too."""
WORKER = "NIVISCO_WORKER"
"""Which of several workers this is, for its log lines."""
ORPHANED_EXIT_CODE = 70


class Lifelines:
    """This process's pipes to the parent that started it, if one did."""

    def __init__(self) -> None:
        """Take the pipes from the environment, where processes of our own must not find them.

        Raises:
            SettingsError: a variable holds no descriptor.
        """
        self._parent = take_descriptor(PARENT_PIPE)
        self._ready = take_descriptor(READY_PIPE)
        if self._parent is not None:
            threading.Thread(
                target=_end_with, args=[self._parent], name="parent-watch", daemon=True
            ).start()

    @property
    def supervised(self) -> bool:
        """Whether a process of ours started this one."""
        return self._parent is not None

    def report_ready(self, address: str) -> None:
        """Tell the parent, once, that this process serves at `address`."""
        if self._ready is None:
            return
        with contextlib.suppress(OSError):  # the parent is gone, and so are we in a moment
            os.write(self._ready, f"{address}\n".encode())
            os.close(self._ready)
        self._ready = None


def held_descriptors() -> list[int]:
    """Return the descriptors that the parent gave this process to hold, for its own children."""
    return [int(each) for each in os.environ.get(HELD_DESCRIPTORS, "").split(",") if each]


def take_descriptor(variable: str) -> int | None:
    """Take a descriptor that the parent gave out of the environment; None where there is none.

    Raises:
        SettingsError: the variable holds no descriptor.
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


def _end_with(descriptor: int) -> None:
    with contextlib.suppress(OSError):
        while os.read(descriptor, 64):
            pass
    os._exit(ORPHANED_EXIT_CODE)
