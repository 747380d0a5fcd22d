"""Writes the generated part of the PHP client; its syntax is that of PHP 7.4."""

from collections.abc import Iterator

from clients.generate.model import Interface, Method, Property
from clients.generate.rendering import environment, wrapped
from portal.reference.model import Field, Kind

RESULTS = "php/src/Result"
_SCALARS = {
    Kind.STRING: "string",
    Kind.INTEGER: "int",
    Kind.BOOLEAN: "bool",
    Kind.AMOUNT: "string",
    Kind.CURRENCY: "string",
    Kind.TIME: r"\DateTimeImmutable",
    Kind.WORD: "string",
    Kind.MAP: "array",
}
_KEY_SHAPE = "idempotency_key?: string"
_KEY = "Key of this call. Defaults to a new one for every call."


def render(interface: Interface) -> Iterator[tuple[str, str]]:
    """Yield the path in clients/ and the text of every file."""
    templates = environment()
    templates.filters |= {
        "type": _type,
        "var": _var,
        "read": _read,
        "comment": _comment,
        "iterated": _iterated,
    }
    for template, path in (
        ("Client.php", "php/src/Client.php"),
        ("ErrorCode.php", "php/src/ErrorCode.php"),
        ("Currencies.php", "php/src/Currencies.php"),
        ("Version.php", "php/src/Version.php"),
        ("composer.json", "php/composer.json"),
        ("CHANGELOG.md", "php/CHANGELOG.md"),
    ):
        yield path, templates.get_template(f"{template}.j2").render(api=interface)
    result = templates.get_template("Result.php.j2")
    responses = [each for each in interface.objects if not each.is_request]
    for each in (*responses, *(method.response for method in interface.methods)):
        yield f"{RESULTS}/{each.name}.php", result.render(each=each)


def _type(what: Property) -> str:
    """Return the declared type of a field in a response."""
    name = "array" if what.field.repeated else what.type_name or ""
    if not what.field.repeated and what.field.kind is not Kind.OBJECT:
        name = _SCALARS[what.field.kind]
    return f"?{name}" if what.field.nullable else name


def _var(what: Property) -> str:
    """Return the type for a comment if PHP cannot declare it, or else an empty string."""
    field = what.field
    one = what.type_name if field.kind is Kind.OBJECT else _one(field)
    if field.repeated:
        return f"list<{one}>"
    if field.kind is Kind.MAP:
        return _one(field)
    if field.kind is Kind.WORD:
        return f"{one}|null" if field.nullable else str(one)
    return ""


def _one(field: Field) -> str:
    if field.kind is Kind.WORD:
        return "|".join(f"'{word.word}'" for word in field.words)
    return "array<string, string>" if field.kind is Kind.MAP else _SCALARS[field.kind]


def _read(what: Property) -> str:
    """Return the expression that reads a field of a response, whose numbers are strings."""
    raw = f"$body['{what.name}']"
    if what.field.kind is Kind.OBJECT:
        reader = f"[{what.type_name}::class, 'fromJson']"
        if what.field.repeated:
            return f"array_map({reader}, {raw})"
        made = f"{what.type_name}::fromJson({raw})"
    elif what.field.kind is Kind.AMOUNT:
        made = f"Values::amount($body, '{what.name}')"
    elif what.field.kind is Kind.TIME:
        if what.field.repeated:
            return f"array_map([Values::class, 'moment'], {raw})"
        made = f"Values::moment({raw})"
    elif what.field.kind is Kind.INTEGER:
        if what.field.repeated:
            return f"array_map('intval', {raw})"
        made = f"(int) {raw}"
    else:
        return raw
    return f"{raw} === null ? null : {made}" if what.field.nullable else made


def _shape(fields: Iterator[str], indent: int) -> str:
    spaces = " " * indent
    return (
        "array{\n"
        + ",\n".join(f"     * {spaces}    {each}" for each in fields)
        + (f"\n     * {spaces}}}")
    )


def _entries(fields: tuple[Field, ...], indent: int = 0) -> Iterator[str]:
    for field in sorted(fields, key=lambda each: not each.required):
        if field.kind is Kind.OBJECT:
            one = _shape(_entries(field.fields, indent + 4), indent + 4)
        elif field.kind is Kind.TIME:
            one = r"string|\DateTimeInterface"
        else:
            one = _one(field)
        optional = "" if field.required else "?"
        null = "|null" if field.nullable else ""
        yield f"{field.name}{optional}: {f'list<{one}>' if field.repeated else one}{null}"


def _bullets(fields: tuple[Property, ...]) -> Iterator[str]:
    for each in fields:
        for field in each.field.flattened():
            what = Property(field, None)
            yield wrapped(f"{field.path}: {what.sentences}", "     * ", "- ", "  ")


def _iterated(method: Method) -> str:
    """Return the comment of the parameter of a method that goes through all pages."""
    entries = _entries(tuple(each.field for each in method.iterated))
    return f"     * @param {_shape(entries, 0)} $fields"


def _comment(method: Method) -> str:
    """Return the comment of a method after its description."""
    fields = tuple(each.field for each in method.request)
    entries = [*_entries(fields)]
    bullets = [*_bullets(method.request)]
    if method.action.mutates:
        entries.append(_KEY_SHAPE)
        bullets.append(f"- idempotency_key: {_KEY}")
    lines = ["     *", *(f"     * {each}" for each in bullets)] if bullets else []
    lines.append("     *")
    if entries:
        lines.append(f"     * @param {_shape(iter(entries), 0)} $fields")
    if codes := ", ".join(error.reason for error in method.action.errors):
        said = f"@throws ApiException with the errorCode {codes} or one of every action"
        lines.append("     * " + wrapped(said, "     * ", "", "    "))
    lines.append("     * @throws NiviscoException if the call did not succeed")
    return "\n".join(lines)
