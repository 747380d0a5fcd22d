"""Reads Authorize.Net's XML requests and writes its responses.

The classes of the `authorizenet` package contain the schema: a request with a wrong element, order
or value is refused, as at the gateway. Their parser checks values and required elements, their
declarations the order. Responses begin with a byte order mark, as the real ones do.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import pyxb
import pyxb.binding.content
from authorizenet import apicontractsv1 as contract
from lxml import etree
from pyxb.binding.basis import complexTypeDefinition

NAMESPACE: Final = "AnetApi/xml/v1/schema/AnetApiSchema.xsd"

logging.getLogger("pyxb").setLevel(logging.CRITICAL)  # it warns of each optional element
# With the default of 20 the classes give up on requests that follow the schema.
pyxb.binding.content.AutomatonConfiguration.PermittedNondeterminism = 1000

_BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"

Field = tuple[str, "str | Sequence[Field] | None"]
"""An element's name and its text or children; None omits the element."""


class ApiError(Exception):
    """A response with `resultCode` Error; raising it rolls the call's writes back."""

    def __init__(self, code: str, text: str, fields: Sequence[Field] = ()) -> None:
        super().__init__(text)
        self.code = code
        self.text = text
        self.fields = fields


@dataclass(frozen=True)
class Element:
    """An element of a request."""

    xml: etree._Element

    @property
    def name(self) -> str:
        """The name without the namespace."""
        return etree.QName(self.xml).localname

    def text(self, path: str, default: str = "") -> str:
        """Return the text at a path such as `profile/email`."""
        return self.xml.findtext(_qualified(path)) or default

    def find(self, path: str) -> Element | None:
        """Return the first element at a path."""
        found = self.xml.find(_qualified(path))
        return None if found is None else Element(found)

    def all(self, path: str) -> list[Element]:
        """Return the elements at a path."""
        return [Element(found) for found in self.xml.findall(_qualified(path))]


def _qualified(path: str) -> str:
    return "/".join(f"{{{NAMESPACE}}}{step}" for step in path.split("/"))


def read(body: bytes, known: Iterable[str]) -> Element:
    """Return a request of a known kind that follows the schema; errors never quote a value."""
    if b"<!DOCTYPE" in body:
        raise ApiError("E00003", "For security reasons DTD is prohibited in this XML document.")
    parser = etree.XMLParser(resolve_entities=False, no_network=True, remove_comments=True)
    try:
        root = etree.fromstring(body, parser)
    except (etree.XMLSyntaxError, ValueError):
        raise ApiError("E00003", "Root element is missing or the XML is not well-formed.") from None
    name = etree.QName(root)
    if name.namespace != NAMESPACE:
        raise ApiError("E00045", "The root node does not reference a valid XML namespace.")
    if name.localname not in known:
        raise ApiError("E00004", f"The sandbox does not know {name.localname[:64]}.")
    try:
        parsed = contract.CreateFromDocument(body)
    except (pyxb.PyXBException, ValueError) as error:
        raise _schema_error(type(error).__name__) from None
    _check_order(root, type(parsed))
    return Element(root)


def _check_order(parent: etree._Element, kind: Any) -> None:
    """Refuse unknown and misplaced elements, which the classes' own parser accepts."""
    declared = {str(name.localName()): rest for name, rest in kind._ElementMap.items()}  # noqa: SLF001
    order, first_allowed = list(declared), 0
    for child in parent:
        name = etree.QName(child).localname
        if name not in order[first_allowed:]:
            raise _schema_error(f"invalid child element {name[:64]}")
        first_allowed = order.index(name) + (not declared[name].isPlural())
        inner = declared[name].elementBinding().typeDefinition()
        if issubclass(inner, complexTypeDefinition):
            _check_order(child, inner)


def _schema_error(why: str) -> ApiError:
    return ApiError("E00003", f"The request does not follow the schema {NAMESPACE} ({why}).")


def write(name: str, fields: Sequence[Field]) -> bytes:
    """Return the document of a response, or of any other element of the namespace."""
    root = etree.fromstring(f'<{name} xmlns="{NAMESPACE}"/>')
    _append_fields(root, fields)
    text = etree.tostring(root, encoding="unicode")
    return _BYTE_ORDER_MARK + f'<?xml version="1.0" encoding="utf-8"?>{text}'.encode()


def _append_fields(parent: etree._Element, fields: Sequence[Field]) -> None:
    for name, value in fields:
        if value is None:
            continue
        element = etree.SubElement(parent, f"{{{NAMESPACE}}}{name}")
        if isinstance(value, str):
            element.text = value
        else:
            _append_fields(element, value)


def messages(result: str, code: str, text: str) -> Field:
    """Return the `messages` element, which every response has."""
    message: Sequence[Field] = [("code", code), ("text", text)]
    return ("messages", [("resultCode", result), ("message", message)])


SUCCESSFUL: Final = messages("Ok", "I00001", "Successful.")
