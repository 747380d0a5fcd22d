"""The call that an endpoint of Stripe's API receives, and the responses that endpoints share.

An endpoint is a function from a `Call` to a `Response`. It runs inside a transaction: raising rolls
its writes back, returning keeps them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from sandbox.books import Books, Json, PageQuery, Record, Scope
from sandbox.stripe import errors, resources
from sandbox.stripe.errors import Response
from sandbox.stripe.forms import Form
from sandbox.stripe.params import PAGE, Integer, Shape

_EXPAND_DEPTH_MAX: Final = 4  # https://docs.stripe.com/api/expanding_objects

_CREATED: Final[Shape] = {bound: Integer() for bound in ("gt", "gte", "lt", "lte")}
LIST_PARAMETERS: Final[Shape] = {**PAGE, "created": _CREATED}


@dataclass(frozen=True)
class Call:
    """An authenticated, decoded request.

    `now` is in whole Unix seconds, `version` the API version such as `2026-10-28.endive`. Lists
    show no object younger than `lag_seconds`.
    """

    books: Books
    scope: Scope
    method: str
    path: str
    ids: tuple[str, ...]
    form: Form
    now: int
    version: str
    lag_seconds: float = 0.0

    def require(self, kind: str, identifier: str, *, param: str, in_path: bool = False) -> Record:
        """Return the object; raises Stripe's `resource_missing`."""
        record = self.books.find(self.scope, kind, identifier)
        if record is None:
            raise errors.resource_missing(
                kind,
                identifier,
                param=param,
                in_path=in_path,
                hint=self._other_mode_hint(kind, identifier),
            )
        return record

    def _other_mode_hint(self, kind: str, identifier: str) -> str:
        """Return Stripe's hint that the object exists in the other mode, or an empty text."""
        other = Scope(self.scope.account, not self.scope.livemode)
        if self.books.find(other, kind, identifier) is None:
            return ""
        other_mode, mode = ("test", "live") if self.scope.livemode else ("live", "test")
        return (
            f"; a similar object exists in {other_mode} mode, but a {mode} mode key was used to "
            "make this request."
        )

    def add(self, record: Record) -> Record:
        """Store a new object and return it."""
        self.books.add(self.scope, record)
        return record


Endpoint = Callable[[Call], Response]


def respond(call: Call, body: Json, params: Mapping[str, Any]) -> Response:
    """Return a 200 with the ids in `expand` replaced by their objects."""
    for path in params.get("expand", []):
        steps = path.split(".")
        if len(steps) > _EXPAND_DEPTH_MAX:
            raise errors.invalid_request(
                f"You cannot expand more than {_EXPAND_DEPTH_MAX} levels of a property. "
                f"Property: {path}",
                param="expand",
            )
        body = _expand(call, body, steps, path)
    return Response(200, body)


def _expand(call: Call, body: Json, steps: list[str], path: str) -> Json:
    step, *rest = steps
    if step == "refunds" and body["object"] == "charge":
        body = body | {step: _refunds_of(call, body)}
    if step not in body:
        raise _not_expandable(path)
    value = body[step]
    if isinstance(value, list) and rest:
        return body | {step: [_expand(call, entry, rest, path) for entry in value]}
    if isinstance(value, str):
        record = call.books.find_any_kind(call.scope, value)
        value = record.body if record else None
        if value is None or step == "id":
            raise _not_expandable(path)
    if isinstance(value, bool | int | list):
        raise _not_expandable(path)
    if isinstance(value, dict) and rest:
        value = _expand(call, value, rest, path)
    return body | {step: value}


def _refunds_of(call: Call, charge: Json) -> Json:
    """Return the newest refunds of a charge, which shows them if asked to (API of 2022-11-15)."""
    query = PageQuery(charge=charge["id"])
    records, has_more = call.books.list_page(call.scope, "refund", query)
    bodies = [record.body for record in records]
    url = f"/v1/charges/{charge['id']}/refunds"
    return resources.build_page(bodies, has_more=has_more, url=url)


def _not_expandable(path: str) -> errors.StripeError:
    return errors.invalid_request(f"This property cannot be expanded ({path}).", param="expand")


def respond_with_page(
    call: Call,
    kind: str,
    params: Mapping[str, Any],
    *,
    customer: str | None = None,
    email: str | None = None,
    charge: str | None = None,
    payment_intent: str | None = None,
    payment_method: str | None = None,
) -> Response:
    """Return a 200 with one page of the scope's objects of a kind, newest first."""
    cursors = [name for name in ("starting_after", "ending_before") if params.get(name)]
    if len(cursors) > 1:
        raise errors.invalid_request(
            "Received both starting_after and ending_before parameters. Please pass in only one.",
            code="parameters_exclusive",
            param="ending_before",
        )
    for name in cursors:
        call.require(kind, params[name], param=name)
    created = params.get("created") or {}
    query = PageQuery(
        limit=params.get("limit", PageQuery.limit),
        starting_after=params.get("starting_after"),
        ending_before=params.get("ending_before"),
        customer=customer,
        email=email,
        charge=charge,
        payment_intent=payment_intent,
        payment_method=payment_method,
        created_from=max(_created_bounds(created, gte=0, gt=1), default=None),
        created_to=min(
            [
                *_created_bounds(created, lte=0, lt=-1),
                *([math.floor(call.now - call.lag_seconds)] if call.lag_seconds else []),
            ],
            default=None,
        ),
    )
    records, has_more = call.books.list_page(call.scope, kind, query)
    page = resources.build_page(
        [record.body for record in records], has_more=has_more, url=call.path
    )
    return respond(call, page, params)


def _created_bounds(created: Mapping[str, int], **offsets: int) -> list[int]:
    """Return the given bounds as inclusive Unix seconds: `gt=1` adds 1 to an exclusive `gt`."""
    return [created[name] + offset for name, offset in offsets.items() if name in created]
