"""Writes the generated part of the Go client, in the form of gofmt."""

import textwrap
from collections.abc import Iterator

from clients.generate.model import Interface, ObjectType, Property
from clients.generate.rendering import environment
from portal.reference.model import Kind

_SCALARS = {
    Kind.STRING: "string",
    Kind.INTEGER: "int",
    Kind.BOOLEAN: "bool",
    Kind.AMOUNT: "Amount",
    Kind.CURRENCY: "string",
    Kind.TIME: "Moment",
    Kind.MAP: "map[string]string",
}
_INITIALISMS = {"api": "API", "id": "ID", "url": "URL"}
_WIDTH = 92


def render(interface: Interface) -> Iterator[tuple[str, str]]:
    """Yield the path in clients/ and the text of every file."""
    templates = environment()
    for each in (_type, _currency_is_nullable, _go_name, _go_doc):
        templates.filters[each.__name__.removeprefix("_")] = each
    for template, path in (
        ("client.go", "go/client.go"),
        ("codes.go", "go/codes.go"),
        ("types.go", "go/types.go"),
        ("CHANGELOG.md", "go/CHANGELOG.md"),
    ):
        yield path, templates.get_template(f"{template}.j2").render(api=interface)


def _go_name(name: str) -> str:
    """Return `user_id` as `UserID`."""
    parts = name.split("_")
    return "".join(_INITIALISMS.get(part, part[0].upper() + part[1:]) for part in parts)


def _go_doc(text: str, name: str, indent: str) -> str:
    """Return the comment of a declaration, which begins with its name."""
    lines: list[str] = []
    for number, paragraph in enumerate(text.split("\n\n")):
        lead = f"{name}: " if name and not number else ""
        lines += ["", *textwrap.wrap(lead + " ".join(paragraph.split()), _WIDTH)][not number :]
    return "\n".join(f"{indent}// {line}".rstrip() for line in lines)


def _type(what: Property) -> str:
    """Return the type of a field. Optional ones are pointers, so that absent is not empty."""
    name = what.type_name or _SCALARS[what.field.kind]
    if what.is_secret and name == "string":
        name = "Secret"
    if what.is_given and what.field.kind is Kind.TIME:
        name = "Time"
    if what.field.repeated:
        name = f"[]{name}"
    if what.is_given and what.field.nullable:
        return f"*Nullable[{name}]"
    is_optional = not what.field.required if what.is_given else what.field.nullable
    return f"*{name}" if is_optional else name


def _currency_is_nullable(shape: ObjectType) -> bool:
    return any(each.name == "currency" and each.field.nullable for each in shape.properties)
