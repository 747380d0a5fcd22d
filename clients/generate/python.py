"""Writes the generated part of the Python client."""

import re
import subprocess
import sys
from collections.abc import Iterator

from clients.generate.model import ROOT, Interface, Method, Property
from clients.generate.rendering import WIDTH, environment, wrapped
from portal.reference.model import Kind

_FOLDER = "python/src/nivisco_client"
_SCALARS = {
    Kind.STRING: "str",
    Kind.INTEGER: "int",
    Kind.BOOLEAN: "bool",
    Kind.AMOUNT: "str",
    Kind.CURRENCY: "str",
    Kind.TIME: "datetime",
    Kind.MAP: "Mapping[str, str]",
}


def render(interface: Interface) -> Iterator[tuple[str, str]]:
    """Yield the path in clients/ and the text of every file."""
    templates = environment()
    for each in (_given, _declared, _read, _raises, _docstring):
        templates.filters[each.__name__.removeprefix("_")] = each
    templates.filters["type"] = _type
    for template, path in (
        ("types.py", f"{_FOLDER}/types.py"),
        ("codes.py", f"{_FOLDER}/codes.py"),
        ("init.py", f"{_FOLDER}/__init__.py"),
        ("version.py", f"{_FOLDER}/_version.py"),
    ):
        text = templates.get_template(f"{template}.j2").render(api=interface)
        yield path, _formatted(text, path)
    for is_async, name in ((False, "client"), (True, "async_client")):
        text = templates.get_template("client.py.j2").render(api=interface, is_async=is_async)
        path = f"{_FOLDER}/{name}.py"
        yield path, _formatted(text, path)
    runtime = _runtime()
    text = templates.get_template("pyproject-grpc.toml.j2").render(api=interface, runtime=runtime)
    yield "grpc-python/pyproject.toml", text
    yield "python/CHANGELOG.md", templates.get_template("CHANGELOG.md.j2").render(api=interface)
    yield "python/pyproject.toml", templates.get_template("pyproject.toml.j2").render(api=interface)


def _runtime() -> dict[str, str]:
    """Return the oldest grpcio and protobuf that run what is generated: those that generated it."""
    folder = ROOT / "generated" / "nivisco" / "payments" / "v1"
    grpc = re.search(r"GRPC_GENERATED_VERSION = '(.+)'", (folder / "users_pb2_grpc.py").read_text())
    protobuf = re.search(r"Protobuf Python Version: (.+)", (folder / "users_pb2.py").read_text())
    assert grpc is not None, "grpc_tools writes it"
    assert protobuf is not None, "protoc writes it"
    return {"grpcio": grpc[1], "protobuf": protobuf[1]}


def _type(what: Property) -> str:
    """Return the type of a field in a response, or of a given one in a request."""
    name = what.type_name or _SCALARS[what.field.kind]
    if what.is_given and what.field.kind is Kind.AMOUNT:
        name = "Amount"
    if what.is_given and what.field.kind is Kind.TIME:
        name = "Time"
    if what.field.repeated:
        name = f"Sequence[{name}]" if what.is_given else f"tuple[{name}, ...]"
    if what.field.nullable:
        return f"{name} | Clear" if what.is_given else f"{name} | None"
    return name


def _given(what: Property) -> str:
    """Return the annotation of a field in a request, with its default."""
    annotation = _type(what) if what.field.required else f"{_type(what)} | None"
    default = "" if what.field.required else " = None"
    return annotation + default


def _declared(what: Property) -> str:
    """Return the annotation of a field in a class, with its default."""
    if not what.is_secret:
        return _given(what) if what.is_given else _type(what)
    annotation, _, default = (_given(what) if what.is_given else _type(what)).partition(" = ")
    return f"{annotation} = field({f'default={default}, ' if default else ''}repr=False)"


def _read(what: Property) -> str:
    """Return the expression that reads a field of a response."""
    raw = f'body["{what.name}"]'
    one = "each" if what.field.repeated else raw
    if what.field.kind is Kind.OBJECT:
        made = f"{what.type_name}.from_json({one})"
    elif what.field.kind is Kind.AMOUNT:
        made = f'amount(body, "{what.name}")'
    elif what.field.kind is Kind.TIME:
        made = f"moment({one})"
    elif what.field.kind is Kind.MAP:
        made = f"dict({one})"
    else:
        made = one
    if what.field.repeated:
        return f"tuple({raw})" if made == one else f"tuple({made} for each in {raw})"
    return f"None if {raw} is None else {made}" if what.field.nullable and made != one else made


def _raises(method: Method) -> str:
    """Return the own errors of an action."""
    codes = ", ".join(f"`{error.reason}`" for error in method.action.errors)
    return (
        f"the API returned an error, with `code` {codes} or one of every action." if codes else ""
    )


def _docstring(text: str) -> str:
    """Return a class's docstring: its first sentence, and as a second paragraph the rest."""
    first, *rest = re.split(r"(?<=\.)\s+", text.strip(), maxsplit=1)
    if len(first) > WIDTH - len('    """"""'):
        first, _, more = first.partition(": ")
        first, rest = f"{first}.", [" ".join([f"{more[0].upper()}{more[1:]}", *rest])]
    if not rest:
        return f'"""{first}"""'
    text = wrapped(f"{first}\n\n{rest[0]}", "    ")
    return f'"""{text}\n    """'


def _formatted(text: str, path: str) -> str:
    for command in (
        ["check", "--fix-only", "--quiet", "--select", "F401,I,RUF022"],
        ["format", "--quiet"],
    ):
        ended = subprocess.run(  # noqa: S603 - our own linter on our own text
            [sys.executable, "-m", "ruff", *command, "--stdin-filename", f"clients/{path}", "-"],
            input=text,
            capture_output=True,
            text=True,
            check=False,
        )
        if ended.returncode:
            raise ValueError(f"{path}: {ended.stderr}")
        text = ended.stdout
    return text
