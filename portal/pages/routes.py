"""The pages and the documents for programs by their addresses, and pages that are answers."""

from dataclasses import dataclass
from http import HTTPStatus

from portal.pages.documents import ASSETS, Document
from portal.pages.live_test import actions_address, actions_document, live_test_page
from portal.pages.rendering import asset_documents, page
from portal.reference import testing
from portal.reference.build import reference
from portal.reference.openapi import openapi_text
from portal.reference.openapi_v1 import openapi_v1_text
from portal.reference.request_files import http_file_text, postman_text


def documents() -> dict[str, Document]:
    """Return every document by its path.

    Raises:
        SchemaError: the reference cannot be built from the schema.
        FileNotFoundError: `make generate` has not written the comments.
    """
    described = reference()
    pages = {
        "/portal": home_page(),
        "/guides": page(
            "guides.html",
            reference=described,
            actions_address=actions_address(described),
            guides=GUIDES,
            testing=testing,
        ),
        "/sdk": page("sdk.html", reference=described, actions_address=actions_address(described)),
        "/docs": page("docs.html", reference=described, actions_address=actions_address(described)),
        "/live-test": live_test_page(described),
        "/openapi.json": Document("openapi.json", openapi_text(described).encode()),
        "/openapi-v1.json": Document("openapi-v1.json", openapi_v1_text(described).encode()),
        "/postman.json": Document("postman.json", postman_text(described).encode()),
        "/nivisco.http": Document("nivisco.http", http_file_text(described).encode()),
    }
    files = (actions_document(described), *asset_documents().values())
    return {
        **{path: document for each, document in pages.items() for path in with_slash(each)},
        **{ASSETS + document.name: document for document in files},
    }


GUIDES = (
    ("quickstart", "Quickstart"),
    ("cards-and-3ds", "Cards and 3-D Secure"),
    ("wallets", "Wallets"),
    ("recurring", "Recurring charges"),
    ("webhooks", "Webhooks"),
    ("going-live", "Going live"),
    ("errors", "Errors"),
    ("idempotency", "Idempotency"),
    ("versioning", "Versioning"),
    ("testing", "Testing"),
)
"""Anchors and titles, in the order of the page."""


@dataclass(frozen=True)
class AnsweredPages:
    """Pages that depend on a request or on the core, each rendered once."""

    home: Document
    """Also the body of the 405 at `/`."""
    status: dict[bool, Document]
    """By whether the core and its database answer."""
    errors: dict[int, Document]
    """By HTTP status."""


def answered_pages() -> AnsweredPages:
    """Return the pages without a fixed answer of their own.

    Raises:
        SchemaError: the reference cannot be built from the schema.
        FileNotFoundError: `make generate` has not written the comments.
    """
    return AnsweredPages(
        home=home_page(),
        status={is_ready: page("status.html", is_ready=is_ready) for is_ready in (True, False)},
        errors={
            int(status): page("error.html", status=int(status), phrase=status.phrase)
            for status in (
                HTTPStatus.FORBIDDEN,
                HTTPStatus.NOT_FOUND,
                HTTPStatus.METHOD_NOT_ALLOWED,
                HTTPStatus.INTERNAL_SERVER_ERROR,
            )
        },
    )


def home_page() -> Document:
    """Return the first page of the portal."""
    described = reference()
    return page("home.html", reference=described, actions_address=actions_address(described))


def with_slash(path: str) -> tuple[str, str]:
    """Return the path, and the path with a trailing slash, which is often typed by mistake."""
    return path, path + "/"
