"""Names the objects that actions take and answer, and their types in each language."""

from collections.abc import Iterator
from dataclasses import dataclass

from adapter.reference.model import Action, Field, Kind

SECRETS = frozenset({"api_key"})
"""Fields of answers that no dump of a result shows."""
IDEMPOTENCY_KEY = "idempotency_key"


@dataclass(frozen=True, slots=True)
class Record:
    """One object type."""

    name: str
    description: str
    fields: tuple[Field, ...]

    @property
    def has_secret(self) -> bool:
        """Whether a dump must leave something out."""
        return any(field.name in SECRETS for field in self.fields)


def pascal(name: str) -> str:
    """Return `charge_customer` as `ChargeCustomer`."""
    return "".join(part.capitalize() for part in name.split("_"))


def camel(name: str) -> str:
    """Return `charge_customer` as `chargeCustomer`."""
    joined = pascal(name)
    return joined[0].lower() + joined[1:]


def nested_name(action: Action, field: Field, suffix: str = "") -> str:
    """Return the name of the type of an object within an action."""
    own = field.name.removesuffix("s") if field.repeated else field.name
    return pascal(action.name) + pascal(own) + suffix


def results(action: Action) -> Iterator[Record]:
    """Yield the types of an action's answer, the inner ones first."""
    yield from _nested(action, action.response, "")
    yield Record(f"{pascal(action.name)}Result", f"What `{action.name}` answers.", action.response)


def inputs(action: Action) -> Iterator[Record]:
    """Yield the types of the objects within an action's request, the inner ones first."""
    yield from _nested(action, action.request, "Input")


def _nested(action: Action, fields: tuple[Field, ...], suffix: str) -> Iterator[Record]:
    for field in fields:
        if field.kind is Kind.OBJECT:
            yield from _nested(action, field.fields, suffix)
            yield Record(nested_name(action, field, suffix), field.description, field.fields)


def ordered(fields: tuple[Field, ...]) -> list[Field]:
    """Return the required fields first."""
    return sorted(fields, key=lambda field: not field.required)


def integer_names(actions: list[Action]) -> list[str]:
    """Return the names that hold a whole number wherever an answer has them.

    Raises:
        ValueError: a name holds a whole number here and something else there.
    """
    kinds: dict[str, set[bool]] = {}
    for action in actions:
        for field in (inner for top in action.response for inner in top.flattened()):
            kinds.setdefault(field.name, set()).add(field.kind is Kind.INTEGER)
    torn = sorted(name for name, found in kinds.items() if len(found) > 1)
    if torn:
        raise ValueError(f"both whole numbers and something else: {torn}")
    return sorted(name for name, found in kinds.items() if found == {True})


def python_type(field: Field, action: Action, *, sent: bool) -> str:
    """Return the annotation of a field, without its being optional."""
    match field.kind:
        case Kind.OBJECT:
            found = nested_name(action, field, "Input" if sent else "")
        case Kind.AMOUNT if sent:
            found = "Amount"
        case Kind.WORD if sent:
            found = f"Literal[{', '.join(repr(each.word) for each in field.words)}]"
        case Kind.INTEGER:
            found = "int"
        case Kind.BOOLEAN:
            found = "bool"
        case _:
            found = "str"
    return f"List[{found}]" if field.repeated else found


def typescript_type(field: Field, action: Action, *, sent: bool) -> str:
    """Return the type of a field."""
    match field.kind:
        case Kind.OBJECT:
            found = nested_name(action, field, "Input" if sent else "")
        case Kind.WORD if sent:
            found = " | ".join(f'"{each.word}"' for each in field.words)
        case Kind.INTEGER:
            found = "number"
        case Kind.BOOLEAN:
            found = "boolean"
        case _:
            found = "string"
    if field.repeated:
        found = f"readonly {found}[]"
    return f"{found} | null" if field.nullable else found


def php_type(field: Field, action: Action) -> str:
    """Return the declared type of a result's property."""
    if field.repeated:
        return "array"
    names = {Kind.INTEGER: "int", Kind.BOOLEAN: "bool", Kind.OBJECT: nested_name(action, field)}
    found = names.get(field.kind, "string")
    return f"?{found}" if field.nullable else found


def php_shape(fields: tuple[Field, ...]) -> str:
    """Return the array shape that a method takes, for static analysers."""
    return "array{" + ", ".join(_php_entry(field) for field in ordered(fields)) + "}"


def _php_entry(field: Field) -> str:
    match field.kind:
        case Kind.OBJECT:
            found = php_shape(field.fields)
        case Kind.AMOUNT:
            found = "string|int"
        case Kind.WORD:
            found = "|".join(f"'{each.word}'" for each in field.words)
        case Kind.INTEGER:
            found = "int"
        case Kind.BOOLEAN:
            found = "bool"
        case _:
            found = "string"
    mark = "" if field.required else "?"
    return f"{field.name}{mark}: " + (f"list<{found}>" if field.repeated else found)


def php_reading(field: Field, action: Action) -> str:
    """Return the expression that reads a result's property from an answer."""
    given = f"$answer['{field.name}']"
    inner = nested_name(action, field)
    if field.repeated and field.kind is Kind.OBJECT:
        return f"array_map([{inner}::class, 'read'], {given} ?? [])"
    if field.repeated:
        return f"{given} ?? []"
    if field.kind is Kind.OBJECT:
        reading = f"{inner}::read({given})"
    elif field.kind is Kind.INTEGER:
        reading = f"(int) {given}"
    else:
        return f"{given} ?? null" if field.nullable else given
    return f"isset({given}) ? {reading} : null" if field.nullable else reading
