"""Serves documents that do not change while the process runs."""

import gzip
import hashlib
import re
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Final, NamedTuple

from aiohttp import hdrs, web

CONTENT_SECURITY_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""Only files of this host, nothing inline, never in a frame: the live test handles API keys."""
ASSETS: Final = "/assets/"
"""URL path of the files that pages link to."""
REVALIDATED: Final = "no-cache"
"""Cached, and revalidated for each use, which costs a response without a body."""
FOR_A_YEAR: Final = "public, max-age=31536000, immutable"
"""For a URL that contains the hash of the content."""
MEDIA_TYPES: Final = {
    ".css": "text/css",
    ".html": "text/html",
    ".http": "text/plain",
    ".js": "text/javascript",
    ".json": "application/json",
    ".svg": "image/svg+xml",
}
_GZIP_LEVEL = 9
_NOT_WANTED = re.compile(r"q=0(?:\.0*)?")
_SAFETY: Final = {
    hdrs.CONTENT_SECURITY_POLICY: CONTENT_SECURITY_POLICY,
    hdrs.X_CONTENT_TYPE_OPTIONS: "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
"""Headers of every document."""


class Content(NamedTuple):
    """What a response consists of."""

    status: int
    headers: dict[str, str]
    body: bytes


@dataclass(frozen=True)
class Document:
    """A text with its media type, compressed form and version."""

    name: str
    """A file name; its ending determines the media type."""
    body: bytes = field(repr=False)
    compressed: bytes = field(init=False, repr=False)
    version: str = field(init=False)
    """The first digits of the body's hash."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "compressed", gzip.compress(self.body, _GZIP_LEVEL, mtime=0))
        object.__setattr__(self, "version", hashlib.sha256(self.body).hexdigest()[:16])

    def respond(self, request: web.BaseRequest) -> Content:
        """Return the document, or 304 if the client has this version."""
        is_named = request.query.get("v") == self.version
        headers: dict[str, str] = {
            hdrs.ETAG: f'W/"{self.version}"',
            hdrs.VARY: hdrs.ACCEPT_ENCODING,
            hdrs.CACHE_CONTROL: FOR_A_YEAR if is_named else REVALIDATED,
        }
        known = request.if_none_match or ()
        if any(tag.value in (self.version, "*") for tag in known):
            return Content(304, headers | _SAFETY, b"")
        return self._whole(request, 200, headers)

    def respond_as(self, request: web.BaseRequest, status: int) -> Content:
        """Return the document with this status, as an answer that no cache may keep."""
        return self._whole(request, status, {"Vary": f"{hdrs.ACCEPT}, {hdrs.ACCEPT_ENCODING}"})

    def _whole(self, request: web.BaseRequest, status: int, headers: dict[str, str]) -> Content:
        body = self.body
        if "gzip" in request.headers.get(hdrs.ACCEPT_ENCODING, "").lower():
            body = self.compressed
            headers[hdrs.CONTENT_ENCODING] = "gzip"
        media_type = MEDIA_TYPES[PurePosixPath(self.name).suffix]
        headers[hdrs.CONTENT_TYPE] = f"{media_type}; charset=utf-8"
        return Content(status, headers | _SAFETY, body)


def prefers_html(request: web.BaseRequest) -> bool:
    """Return whether the client names HTML in `Accept` (RFC 9110, section 12.5.1).

    Browsers do for pages. Clients of the API do not, and `*/*` does not.
    """
    accepted = ",".join(request.headers.getall(hdrs.ACCEPT, ())).lower().split(",")
    for each in accepted:
        media_type, *parameters = (part.strip() for part in each.split(";"))
        if media_type == "text/html" and not any(map(_NOT_WANTED.fullmatch, parameters)):
            return True
    return False
