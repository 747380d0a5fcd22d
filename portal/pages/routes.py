"""Adds the routes of the pages, their files, and the OpenAPI document."""

from aiohttp import web
from aiohttp.typedefs import Handler

from portal.pages.documents import ASSETS, Document
from portal.pages.live_test import actions_document, live_test_page
from portal.pages.rendering import asset_documents, page
from portal.reference.build import reference
from portal.reference.openapi import openapi_text


def add_pages(app: web.Application) -> None:
    """Add the routes, for GET and HEAD.

    Raises:
        SchemaError: the reference cannot be built from the schema.
        FileNotFoundError: `make generate` has not written the comments.
    """
    described = reference()
    pages = {
        "/docs": page("docs.html", reference=described),
        "/live-test": live_test_page(described),
        "/openapi.json": Document("openapi.json", openapi_text(described).encode()),
    }
    for address, document in pages.items():
        for path in with_slash(address):
            app.router.add_get(path, _serving(document))
    for document in (actions_document(described), *asset_documents().values()):
        app.router.add_get(ASSETS + document.name, _serving(document))


def with_slash(path: str) -> tuple[str, str]:
    """Return the path, and the path with a trailing slash, which is often typed by mistake."""
    return path, path + "/"


def _serving(document: Document) -> Handler:
    async def serve(request: web.Request) -> web.StreamResponse:
        return document.respond(request)

    return serve
