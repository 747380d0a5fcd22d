"""Writes the generated part of the TypeScript client."""

from collections.abc import Iterator

from clients.generate.model import Interface, Method, Property, WordType
from clients.generate.rendering import WIDTH, camel, environment
from portal.reference.model import Kind

_SCALARS = {
    Kind.STRING: "string",
    Kind.INTEGER: "number",
    Kind.BOOLEAN: "boolean",
    Kind.AMOUNT: "string",
    Kind.CURRENCY: "string",
    Kind.TIME: "Date",
    Kind.MAP: "Readonly<Record<string, string>>",
}
_READERS = {"number": "integer", "Date": "moment"}


def render(interface: Interface) -> Iterator[tuple[str, str]]:
    """Yield the path in clients/ and the text of every file."""
    templates = environment()
    for each in (_union, _declared, _read, _tags, _reader, _signature, _call, _iteration):
        templates.filters[each.__name__.removeprefix("_")] = each
    for template, path in (
        ("types.ts", "typescript/src/types.ts"),
        ("readers.ts", "typescript/src/readers.ts"),
        ("client.ts", "typescript/src/client.ts"),
        ("codes.ts", "typescript/src/codes.ts"),
        ("currencies.ts", "typescript/src/currencies.ts"),
        ("currencies.ts", "grpc-typescript/src/currencies.ts"),
        ("statuses.ts", "grpc-typescript/src/statuses.ts"),
        ("version.ts", "typescript/src/version.ts"),
        ("index.ts", "typescript/src/index.ts"),
        ("package.json", "typescript/package.json"),
        ("CHANGELOG.md", "typescript/CHANGELOG.md"),
    ):
        yield path, templates.get_template(f"{template}.j2").render(api=interface)


def _listed(before: str, items: list[str], after: str, indent: str) -> str:
    """Return the items on one line if they fit, or else one on each line."""
    line = f"{indent}{before}{', '.join(items)}{after}"
    if len(line) <= WIDTH:
        return line
    inner = "".join(f"{indent}  {item},\n" for item in items)
    return f"{indent}{before}\n{inner}{indent}{after}"


def _union(words: WordType) -> str:
    quoted = [f'"{word.word}"' for word in words.words]
    line = f"export type {words.name} = {' | '.join(quoted)};"
    if len(line) <= WIDTH:
        return line
    return "\n  | ".join([f"export type {words.name} =", *quoted]) + ";"


def _signature(method: Method) -> str:
    """Return the first line or lines of a method."""
    takes = []
    if method.request:
        fields = f"fields: types.{_fields_name(method)}"
        is_optional = not any(each.field.required for each in method.request)
        takes.append(fields + (" = {}" if is_optional else ""))
    if method.action.mutates:
        takes.append("options: ChangeOptions = {}")
    after = f"): Promise<types.{method.response.name}> {{"
    return _listed(f"async {camel(method.action.name)}(", takes, after, "  ")


def _iteration(method: Method) -> str:
    """Return the first line or lines of a method that goes through all pages."""
    fields = f'Omit<types.{_fields_name(method)}, "cursor" | "page">'
    is_optional = not any(each.field.required for each in method.request)
    assert method.page is not None, "it has pages"
    return _listed(
        f"async *{camel(method.iteration)}(",
        [f"fields: {fields}{' = {}' if is_optional else ''}"],
        f"): AsyncGenerator<types.{method.page.type_name}, void, undefined> {{",
        "  ",
    )


def _call(method: Method) -> str:
    """Return the body of a method."""
    name = method.action.name
    given = [f'"{name}"', "fields" if method.request else "{}"]
    given.append(f"readers.{_reader(method.response.name)}")
    if method.action.mutates:
        given.append("options")
    sends = "change" if method.action.mutates else "read"
    return _listed(f"return this.#connection.{sends}(", given, ");", "    ")


def _fields_name(method: Method) -> str:
    return method.response.name.removesuffix("Result") + "Fields"


def _declared(what: Property) -> str:
    """Return the declaration of a field."""
    one = what.type_name or _SCALARS[what.field.kind]
    if what.is_given and what.field.kind is Kind.TIME:
        one = "string | Date"
    many = f"readonly {one}[]" if what.field.repeated else one
    name = camel(what.name)
    if what.is_given:
        null = " | null" if what.field.nullable else ""
        return f"{name}: {many}" if what.field.required else f"{name}?: {many}{null} | undefined"
    return f"{name}: {many} | null" if what.field.nullable else f"{name}: {many}"


def _reader(name: str) -> str:
    """Return the name of the function that reads a type."""
    return f"read{name}"


def _read(what: Property) -> str:
    """Return the expression that reads a field of a response."""
    scalar = _SCALARS.get(what.field.kind, "string")
    read = _READERS.get(scalar, scalar)
    if what.field.kind is Kind.OBJECT:
        read = f"object({_reader(str(what.type_name))})"
    elif what.field.kind is Kind.MAP:
        read = "strings"
    elif what.field.kind is Kind.WORD:
        read = f"word<types.{what.type_name}>"
    elif what.field.kind is Kind.AMOUNT:
        read = 'amount(json["currency"])'
    if what.field.repeated:
        read = f"list({read})"
    if what.field.nullable:
        read = f"nullable({read})"
    return f'{read}(json["{what.name}"])'


def _tags(method: Method) -> list[str]:
    """Return the tags for the errors of a method."""
    codes = ", ".join(error.reason for error in method.action.errors)
    own = [f"@throws ApiError with the code {codes} or one of every action."] if codes else []
    return [*own, "@throws NiviscoError if the call did not succeed."]
