"""The addresses of the pages, their files, and the documents for programs."""

from portal.pages.documents import ASSETS, Document
from portal.pages.live_test import actions_document, live_test_page
from portal.pages.rendering import asset_documents, page
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
        "/docs": page("docs.html", reference=described),
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


def with_slash(path: str) -> tuple[str, str]:
    """Return the path, and the path with a trailing slash, which is often typed by mistake."""
    return path, path + "/"
