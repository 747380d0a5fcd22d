"""Renders pages from templates, with escaping, and reads the files that they link to."""

import re
from collections.abc import Mapping
from functools import cache
from importlib.metadata import version
from importlib.resources import files

import jinja2
from markupsafe import Markup, escape

from portal.pages.documents import ASSETS, Document
from portal.reference.model import Action, Field, Kind
from transcoding import exact_json
from transcoding.actions import ACTION_KEY, API_KEY_KEY, BUSINESS_ID_KEY

SAMPLE_ENDPOINT = "https://payments.example.com/"
"""The URL that a page shows until its script inserts its own origin."""
SAMPLE_BUSINESS = "2a0c5c52-6e6d-4c5a-8a58-4d5d7f818abc"
ADMIN_BUSINESS = "ADMIN-BUSINESS"

_CODE = re.compile(r"`([^`]+)`")
_FOLDER = files("portal.pages")
_TYPES = {
    Kind.AMOUNT: "decimal",
    Kind.CURRENCY: "string, ISO 4217",
    Kind.TIME: "string, date-time",
    Kind.WORD: "enum",
    Kind.MAP: "object of strings",
}


@cache
def asset_documents() -> Mapping[str, Document]:
    """Return the files that pages may link to, by name."""
    found = sorted(_FOLDER.joinpath("assets").iterdir(), key=lambda file: file.name)
    return {file.name: Document(file.name, file.read_bytes()) for file in found}


@cache
def page(template: str, **values: object) -> Document:
    """Return the page of a template and its values, rendered once.

    Raises:
        jinja2.TemplateError: the template uses an undefined name.
    """
    text = _environment().get_template(template).render(values)
    return Document(template, text.encode())


@cache
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("portal.pages", "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"prose": prose, "json": coloured, "type": _type, "sentence": _sentence}
    environment.globals |= {
        "asset": _asset_address,
        "business_of": _business_of,
        "full_request": _full_request,
        "sample_endpoint": SAMPLE_ENDPOINT,
        "version": version("nivisco"),
    }
    return environment


def _asset_address(name: str) -> str:
    """Return the URL of a file with its version, which may be cached for a year."""
    return f"{ASSETS}{name}?v={asset_documents()[name].version}"


def prose(text: str) -> Markup:
    """Return a comment's text with its backticks as code."""
    return Markup("").join(
        Markup("<code>{}</code>").format(part) if index % 2 else escape(part)
        for index, part in enumerate(_CODE.split(text))
    )


def coloured(text: str) -> Markup:
    """Return JSON text with its parts in spans."""
    return Markup("").join(
        Markup('<span class="{}">{}</span>').format(f"j-{kind}", part) if kind else escape(part)
        for kind, part in exact_json.tokens(text)
    )


def _type(field: Field) -> str:
    """Return the type of a field for a table."""
    name = _TYPES.get(field.kind, field.kind.value)
    return f"list of {name}" if field.repeated else name


def _business_of(action: Action) -> str:
    """Return the id of the business that calls the action in samples."""
    return ADMIN_BUSINESS if action.admin_only else SAMPLE_BUSINESS


def _full_request(action: Action) -> str:
    """Return the request of the action's example in its envelope, as JSON text."""
    assert action.example is not None, "only executed actions have samples"
    envelope = {
        BUSINESS_ID_KEY: _business_of(action),
        API_KEY_KEY: "<api_key>",
        ACTION_KEY: action.name,
    }
    return exact_json.write(envelope | exact_json.read(action.example.request), indent=2)


def _sentence(text: str) -> str:
    """Return the text as a sentence; `capitalize` would lower what is in capitals in it."""
    return f"{text[0].upper()}{text[1:]}."
