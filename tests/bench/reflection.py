"""Detects descriptor calls while a request is transcoded; all belong into the start.

Detected are calls into the protobuf package's Python code, of descriptors' methods, and of our
modules that compile descriptors. Reads of a descriptor's plain attribute cannot be detected.
"""

import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

_COMPILERS = ("transcoding.schema", "transcoding.actions")
_DESCRIPTIONS = ("Descriptor", "Options", "Pool")
"""Name endings of descriptor types."""


def calls_into_the_schema(work: Callable[[], object]) -> list[str]:
    """Return the calls of `work` into descriptors and the modules that compile them."""
    work()  # imports and caches are not counted
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
