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
    app.router.add_get("/docs", _serving(page("docs.html", reference=described)))
    app.router.add_get("/live-test", _serving(live_test_page(described)))
    openapi = Document("openapi.json", openapi_text(described).encode())
    app.router.add_get("/openapi.json", _serving(openapi))
    for document in (actions_document(described), *asset_documents().values()):
        app.router.add_get(ASSETS + document.name, _serving(document))


def _serving(document: Document) -> Handler:
    async def serve(request: web.Request) -> web.StreamResponse:
        return document.respond(request)

    return serve
