"""Builds the reference from the catalogue, the comments and the examples."""

import re
from functools import cache

from portal.comments import comments
from portal.reference.conventions import CONVENTIONS, ENVELOPE
from portal.reference.errors import (
    error_table,
    general_errors,
    own_errors,
    transport_errors,
)
from portal.reference.examples import example_of
from portal.reference.fields import request_fields, response_fields
from portal.reference.model import Action, Category, Reference
from transcoding import actions

_ORDER = (
    "Authentication",
    "Business",
    "Credentials",
    "Users",
    "Keys",
    "Cards",
    "Payments",
    "Refunds",
    "Wallet",
    "Recurring",
    "Reports",
)
"""Order of the categories in the reference. Others come last."""


@cache
def reference() -> Reference:
    """Return the reference of this version's schema, built once.

    Raises:
        SchemaError: a message has no JSON form.
        FileNotFoundError: `make generate` has not written the comments.
    """
    compiled = actions.build_catalogue()
    services = {each.category: each.method.containing_service for each in compiled.values()}
    names = sorted(services, key=lambda name: (name not in _ORDER, _rank(name)))
    categories = tuple(
        Category(
            name,
            comments().get(services[name].full_name, ""),
            tuple(_action(each) for each in compiled.values() if each.category == name),
        )
        for name in names
    )
    return Reference(
        ENVELOPE, categories, tuple(error_table().values()), transport_errors(), CONVENTIONS
    )


def _rank(category: str) -> int:
    return _ORDER.index(category) if category in _ORDER else len(_ORDER)


def _action(action: actions.Action) -> Action:
    method = action.method
    description = comments().get(method.full_name, "")
    own = own_errors(method)
    return Action(
        name=action.name,
        category=action.category,
        rpc=f"{method.containing_service.full_name}/{method.name}",
        summary=re.split(r"(?<=\.)\s", description, maxsplit=1)[0],
        description=description,
        mutates=action.mutates,
        admin_only=action.admin_only,
        key_scope=action.key_scope,
        request=request_fields(method.input_type),
        response=response_fields(method.output_type),
        errors=own,
        general_errors=general_errors(
            own,
            mutates=action.mutates,
            is_refused_while_suspended=action.is_refused_while_suspended,
            moves_money=action.moves_money,
        ),
        example=example_of(action.name),
    )
