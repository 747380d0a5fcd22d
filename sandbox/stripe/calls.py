"""One call of Stripe's API as its endpoints see it: who asks, what for, and the books to do it in.

Endpoints are plain functions from a `Call` to an `Answer`. They run inside one transaction; what
they raise undoes their effect, what they return keeps it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from sandbox.books import Books, PageQuery, Record
from sandbox.stripe import errors as errors
from sandbox.stripe import resources as resources
from sandbox.stripe.errors import Answer, Json
from sandbox.stripe.forms import Form
from sandbox.stripe.keys import Scope
from sandbox.stripe.params import PAGE, Integer, Shape

_EXPAND_DEPTH_MAX: Final = 4  # https://docs.stripe.com/api/expanding_objects

CREATED: Final[Shape] = {bound: Integer() for bound in ("gt", "gte", "lt", "lte")}
LIST: Final[Shape] = {**PAGE, "created": CREATED}


@dataclass(frozen=True)
class Call:
    """A request after authentication and decoding.

    `now` is in whole Unix seconds, `version` the API version such as `2026-10-28.endive`. Lists
    lag `lag_seconds` behind.
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
        """The object, or Stripe's `resource_missing`."""
        record = self.books.find(self.scope, kind, identifier)
        if record is None:
            raise errors.resource_missing(
                kind, identifier, param=param, in_path=in_path, hint=self._hint(kind, identifier)
            )
        return record

    def _hint(self, kind: str, identifier: str) -> str:
        """Stripe tells when the object is there in the other mode."""
        other = Scope(self.scope.account, not self.scope.livemode)
        if self.books.find(other, kind, identifier) is None:
            return ""
        there, used = ("test", "live") if self.scope.livemode else ("live", "test")
        return (
            f"; a similar object exists in {there} mode, but a {used} mode key was used to make "
            "this request."
        )

    def keep(self, record: Record) -> Record:
        """Writes a new object."""
        self.books.add(self.scope, record)
        return record


Endpoint = Callable[[Call], Answer]


def shown(call: Call, body: Json, params: Mapping[str, Any]) -> Answer:
    """A 200 with the properties in `expand` replaced by the objects that they name."""
    for path in params.get("expand", []):
        steps = path.split(".")
        if len(steps) > _EXPAND_DEPTH_MAX:
            raise errors.invalid_request(
                f"You cannot expand more than {_EXPAND_DEPTH_MAX} levels of a property. "
                f"Property: {path}",
                param="expand",
            )
        body = _expanded(call, body, steps, path)
    return Answer(200, body)


def _expanded(call: Call, body: Json, steps: list[str], path: str) -> Json:
    step, *rest = steps
    if step not in body:
        raise _not_expandable(path)
    value = body[step]
    if isinstance(value, list) and rest:
        return body | {step: [_expanded(call, entry, rest, path) for entry in value]}
    if isinstance(value, str):
        record = call.books.find_any_kind(call.scope, value)
        value = record.body if record else None
        if value is None or step == "id":
            raise _not_expandable(path)
    if isinstance(value, bool | int | list):
        raise _not_expandable(path)
    if isinstance(value, dict) and rest:
        value = _expanded(call, value, rest, path)
    return body | {step: value}


def _not_expandable(path: str) -> errors.StripeError:
    return errors.invalid_request(f"This property cannot be expanded ({path}).", param="expand")


def listed(
    call: Call,
    kind: str,
    params: Mapping[str, Any],
    *,
    customer: str | None = None,
    email: str | None = None,
) -> Answer:
    """One page of the scope's objects of a kind, newest first."""
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
        created_from=_tightest(max, created.get("gte"), _next_to(created.get("gt"), 1)),
        created_to=_tightest(
            min,
            _tightest(min, created.get("lte"), _next_to(created.get("lt"), -1)),
            math.floor(call.now - call.lag_seconds) if call.lag_seconds else None,
        ),
    )
    records, has_more = call.books.page(call.scope, kind, query)
    page = resources.page([record.body for record in records], has_more=has_more, url=call.path)
    return shown(call, page, params)


def _next_to(bound: int | None, step: int) -> int | None:
    return None if bound is None else bound + step


def _tightest(pick: Callable[[int, int], int], one: int | None, other: int | None) -> int | None:
    if one is None or other is None:
        return one if other is None else other
    return pick(one, other)
