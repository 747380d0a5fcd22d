"""Parses Authorize.Net's answers.

They are UTF-8 with a byte order mark. Every value stays text, never a number ("012345" is not
12345).
"""

import enum
import re
from functools import cache
from typing import Final

from lxml import etree

from core.gateways.authorize.requests import NAMESPACE, Request

_CODE: Final = re.compile(r"[A-Z0-9]{1,8}")
_NO_ID: Final = frozenset(("", "0"))


class Failure(enum.Enum):
    """A call without an answer."""

    NOT_CONNECTED = "not connected"
    THROTTLED = "throttled"
    LOST = "lost"


class Answer:
    """An element of an answer."""

    def __init__(self, element: etree._Element) -> None:
        """Read from `element`."""
        self._element = element

    def text(self, path: str) -> str:
        """Return the text at a path such as `messages/message/code`, or an empty string."""
        return (self._element.findtext(_qualified(path)) or "").strip()

    def all(self, path: str) -> "list[Answer]":
        """Return the elements at a path."""
        return [Answer(element) for element in self._element.findall(_qualified(path))]

    @property
    def is_ok(self) -> bool:
        """Whether the call succeeded as such."""
        return self.text("messages/resultCode") == "Ok"

    @property
    def code(self) -> str:
        """The API code of a call that did not, or an empty string if it is not a code."""
        return code_of(self.text("messages/message/code"))


@cache
def _qualified(path: str) -> str:
    return "/".join(f"{{{NAMESPACE}}}{step}" for step in path.split("/"))


def code_of(text: str) -> str:
    """Return a code, or an empty string if the text is not one and may quote anything."""
    return text if _CODE.fullmatch(text) else ""


def parse_answer(body: bytes, request: Request) -> Answer | Failure:
    """Parse the answer to a request; any other body counts as a lost answer."""
    # A new parser for each answer: it keeps the last tree.
    parser = etree.XMLParser(
        encoding="utf-8",
        resolve_entities=False,
        no_network=True,
        remove_comments=True,
        remove_pis=True,
    )
    try:
        root = etree.fromstring(body, parser)
    except (etree.XMLSyntaxError, ValueError):
        return Failure.LOST
    expected = {_qualified(request.answered_by), _qualified("ErrorResponse")}
    return Answer(root) if root.tag in expected else Failure.LOST


def id_of(text: str) -> str | None:
    """Return an id, or None if the text is not one; 0 means none."""
    return text if text not in _NO_ID and text.isascii() and text.isdigit() else None
