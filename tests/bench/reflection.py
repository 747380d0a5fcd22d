"""Catches questions to the schema while a request is transcoded: all are answered at the start.

Seen are calls into the protobuf package's Python code, calls of descriptors' methods, and calls
of our own modules that compile from descriptors. Reading a descriptor's plain attribute
leaves no trace that could be caught.
"""

import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

_COMPILERS = ("transcoding.schema", "transcoding.actions")
_DESCRIPTIONS = ("Descriptor", "Options", "Pool")
"""What the names of types end in that describe others."""


def calls_into_the_schema(work: Callable[[], object]) -> list[str]:
    """Return the calls that `work` makes into descriptors or what compiles from them."""
    work()  # so that what is imported or made once is not counted
    found: list[str] = []

    def note(frame: FrameType, event: str, argument: Any) -> None:
        if event == "call":
            module = str(frame.f_globals.get("__name__", ""))
            if module in _COMPILERS or module.startswith("google.protobuf"):
                found.append(f"{module}.{frame.f_code.co_qualname}")
        elif event == "c_call":
            owner = type(getattr(argument, "__self__", None)).__name__
            if owner.endswith(_DESCRIPTIONS):
                found.append(f"{owner}.{argument.__name__}")

    before = sys.getprofile()
    sys.setprofile(note)
    try:
        work()
    finally:
        sys.setprofile(before)
    return found
