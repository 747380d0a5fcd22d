"""Validates requests by the `buf.validate.field` options in proto/; never echoes a value.

The rules are compiled once for each message type into closures. The tests compare with
protovalidate, which takes milliseconds a message. This is stricter on purpose for e-mail addresses
(the email-validator library), google.type.Money (core.money), Timestamp and Duration outside their
range, NUL characters (which databases refuse), and text of Unicode spaces only where a visible
character is required.

A rule that is not supported here fails at compile time and names its field; it is never skipped.
"""

import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final, cast

from email_validator import EmailNotValidError, validate_email
from google.protobuf import duration_pb2, timestamp_pb2
from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.unknown_fields import UnknownFieldSet
from google.type import money_pb2

from buf.validate import validate_pb2
from core.money import amount_problem, currency_problem, decimals_problem
from core.update_mask import mask_problems
from nivisco.annotations.v1 import annotations_pb2
from rpc.catalogue import PATTERN_DESCRIPTIONS, service_methods
from rpc.error_details import MAX_FIELD_PROBLEMS, FieldProblem, printable_key
from rpc.update_mask import UPDATE_MASK


class UnknownRule(Exception):
    """A field has a rule that this module does not support. Raised at the start."""


MALFORMED: Final = "has a malformed value"
REQUIRED: Final = "is required"

# Ranges of google/protobuf/timestamp.proto and duration.proto.
TIMESTAMP_SECONDS_MIN: Final = -62_135_596_800
TIMESTAMP_SECONDS_MAX: Final = 253_402_300_799
DURATION_SECONDS_MAX: Final = 315_576_000_000
NANOS_MAX: Final = 999_999_999

MAP_BYTES_MAX: Final = 32 * 1024
"""Most bytes of a map's keys and values in UTF-8. A page has up to 100 resources with one each, and
a response at most rpc.frames.ANSWER_FRAME_BYTES_MAX, 4 MiB."""

_ValueRule = Callable[[Any], str | None]
"""Returns the problem of a value, or None."""
_MessageCheck = Callable[[Any, str, list[FieldProblem]], None]
"""Adds the problems of a message at a path, which is empty for the request itself."""
_FieldCheck = _MessageCheck
"""Adds the problems of one field of a message, given the path with a dot at its end."""

_compiled: dict[type[Message], _MessageCheck] = {}
_messages: dict[str, _MessageCheck] = {}


def problems(message: Message) -> list[FieldProblem]:
    """Return the problems of a request: at most one for each field, and 20 in all.

    Raises:
        UnknownRule: the type was not compiled yet and has a rule that is not supported.
    """
    check = _compiled.get(type(message))
    if check is None:
        check = _compiled[type(message)] = _message_check(
            cast("Descriptor", message.DESCRIPTOR), ()
        )
    found: list[FieldProblem] = []
    check(message, "", found)
    return found[:MAX_FIELD_PROBLEMS]


def compile_all() -> None:
    """Compile the rules of every request.

    Raises:
        UnknownRule: a rule is not supported; the message names its field.
    """
    for request in request_types():
        _message_check(request, ())


def request_types() -> list[Descriptor]:
    """Return the request message of every method, each once."""
    requests = [method.input_type for method in service_methods()]
    return list({request.full_name: request for request in requests}.values())


def _message_check(message: Descriptor, outer: tuple[str, ...]) -> _MessageCheck:
    """Return the check of a message type, compiled once; `outer` are the types around it."""
    name = message.full_name
    if name in outer:
        raise UnknownRule(f"{name} contains itself: recursive requests are not supported")
    if name not in _messages:
        built_in = _BUILT_IN.get(name)
        _messages[name] = built_in or _compiled_check(message, (*outer, name))
    return _messages[name]


def _compiled_check(message: Descriptor, outer: tuple[str, ...]) -> _MessageCheck:
    message_rules = message.GetOptions().Extensions[validate_pb2.message]
    _refuse_other_rules(message, message_rules, {"oneof"})
    for oneof in message.oneofs:
        if oneof.GetOptions().HasExtension(validate_pb2.oneof):
            raise UnknownRule(f"{oneof.full_name}: rules of oneofs are not supported")
    checks = [check for field in message.fields if (check := _field_check(field, outer))]
    checks.extend(_one_of(message, rule) for rule in message_rules.oneof)
    if UPDATE_MASK in message.fields_by_name:
        checks.append(_check_update_mask)

    def check_message(value: Any, path: str, found: list[FieldProblem]) -> None:
        prefix = f"{path}." if path else ""
        for check in checks:
            check(value, prefix, found)

    return check_message


def _one_of(message: Descriptor, rule: validate_pb2.MessageOneofRule) -> _FieldCheck:
    """At most one of some fields, or one exactly; a problem is of the first one or of another."""
    _refuse_other_rules(message, rule, {"fields", "required"})
    names = list(rule.fields)
    if not names or any(
        name not in message.fields_by_name or not message.fields_by_name[name].has_presence
        for name in names
    ):
        raise UnknownRule(f"{message.full_name}: a oneof rule is of fields with presence only")

    def check_fields(value: Any, prefix: str, found: list[FieldProblem]) -> None:
        given = [name for name in names if value.HasField(name)]
        if rule.required and not given:
            found.append(FieldProblem(prefix + names[0], REQUIRED))
        found.extend(
            FieldProblem(prefix + name, f"must not be set beside {given[0]}") for name in given[1:]
        )

    return check_fields


def _field_check(field: FieldDescriptor, outer: tuple[str, ...]) -> _FieldCheck | None:
    rules = field.GetOptions().Extensions[validate_pb2.field]
    _refuse_other_rules(field, rules, {"required", "map", *_VALUE_RULES})
    if field.message_type is not None and field.message_type.GetOptions().map_entry:
        return _string_map(field, rules)
    value_rules = _value_rules(field, rules)
    if field.message_type is not None:
        check = _message_check(field.message_type, outer)
        if field.is_repeated:
            return _repeated_messages(field.name, rules.required, check)
        return _single_message(field.name, rules.required, check)
    if field.is_repeated:
        if value_rules:
            raise UnknownRule(f"{field.full_name}: repeated values with rules are not supported")
        return _required_values(field.name) if rules.required else None
    if field.has_presence:
        return _optional_value(field.name, rules.required, value_rules)
    return _plain_value(field.name, rules.required, field.default_value, value_rules)


def _single_message(name: str, required: bool, check: _MessageCheck) -> _FieldCheck:
    def check_field(message: Any, prefix: str, found: list[FieldProblem]) -> None:
        if message.HasField(name):
            check(getattr(message, name), prefix + name, found)
        elif required:
            found.append(FieldProblem(prefix + name, REQUIRED))

    return check_field


def _required_values(name: str) -> _FieldCheck:
    def check_field(message: Any, prefix: str, found: list[FieldProblem]) -> None:
        if not getattr(message, name):
            found.append(FieldProblem(prefix + name, REQUIRED))

    return check_field


def _repeated_messages(name: str, required: bool, check: _MessageCheck) -> _FieldCheck:
    def check_field(message: Any, prefix: str, found: list[FieldProblem]) -> None:
        values = getattr(message, name)
        if required and not values:
            found.append(FieldProblem(prefix + name, REQUIRED))
        for index, value in enumerate(values):
            check(value, f"{prefix}{name}[{index}]", found)
            if len(found) >= MAX_FIELD_PROBLEMS:
                return

    return check_field


def _string_map(field: FieldDescriptor, rules: validate_pb2.FieldRules) -> _FieldCheck:
    """A map of strings, with rules for the number of its pairs, its keys and its values."""
    entry = cast("Descriptor", field.message_type)
    if any(part.type != FieldDescriptor.TYPE_STRING for part in entry.fields) or rules.required:
        raise UnknownRule(f"{field.full_name}: only maps of strings are supported, none required")
    _refuse_other_rules(field, rules.map, {"max_pairs", "keys", "values"})
    of_keys = _value_rules(entry.fields_by_name["key"], rules.map.keys)
    of_values = _value_rules(entry.fields_by_name["value"], rules.map.values)
    most = rules.map.max_pairs if rules.map.HasField("max_pairs") else None
    name = field.name

    def check_field(message: Any, prefix: str, found: list[FieldProblem]) -> None:
        pairs = getattr(message, name)
        if most is not None and len(pairs) > most:
            plural = "pair" if most == 1 else "pairs"
            found.append(FieldProblem(prefix + name, f"must have at most {most} {plural}"))
        elif sum(len(each.encode()) + len(pairs[each].encode()) for each in pairs) > MAP_BYTES_MAX:
            found.append(FieldProblem(prefix + name, f"must have at most {MAP_BYTES_MAX:,} bytes"))
        for key, value in sorted(pairs.items()):
            path = f"{prefix}{name}.{printable_key(key)}"
            if problem := next((each for rule in of_keys if (each := rule(key))), None):
                found.append(FieldProblem(path, f"the key {problem}"))
            else:
                _apply(of_values, value, path, found)
            if len(found) >= MAX_FIELD_PROBLEMS:
                return

    return check_field


def _optional_value(name: str, required: bool, rules: Sequence[_ValueRule]) -> _FieldCheck | None:
    """A value with presence: an absent one breaks no rule but `required`."""
    if not required and not rules:
        return None

    def check_field(message: Any, prefix: str, found: list[FieldProblem]) -> None:
        if message.HasField(name):
            _apply(rules, getattr(message, name), prefix + name, found)
        elif required:
            found.append(FieldProblem(prefix + name, REQUIRED))

    return check_field


def _plain_value(
    name: str, required: bool, default: Any, rules: Sequence[_ValueRule]
) -> _FieldCheck | None:
    """A value without presence: its default counts as absent, for `required` only."""
    if not required and not rules:
        return None

    def check_field(message: Any, prefix: str, found: list[FieldProblem]) -> None:
        value = getattr(message, name)
        if required and value == default:
            found.append(FieldProblem(prefix + name, REQUIRED))
            return
        _apply(rules, value, prefix + name, found)

    return check_field


def _apply(rules: Sequence[_ValueRule], value: Any, path: str, found: list[FieldProblem]) -> None:
    """Add the first problem of a value."""
    for rule in rules:
        if problem := rule(value):
            found.append(FieldProblem(path, problem))
            return


def _value_rules(field: FieldDescriptor, rules: validate_pb2.FieldRules) -> Sequence[_ValueRule]:
    """Compile the rules of one value. Every string also has the NUL rule."""
    made: list[_ValueRule] = []
    kind = rules.WhichOneof("type")
    if kind is not None:
        type_of_field, make = _VALUE_RULES[kind]
        if field.type != type_of_field:
            raise UnknownRule(f"{field.full_name}: {kind} rules on a field of another type")
        made.extend(make(field, getattr(rules, kind)))
    if field.type == FieldDescriptor.TYPE_STRING:
        made.append(_nul_problem)
    return tuple(made)


def _string_rules(field: FieldDescriptor, rules: validate_pb2.StringRules) -> Iterable[_ValueRule]:
    """Lengths come first, to bound what patterns read."""
    _refuse_other_rules(field, rules, {"min_len", "max_len", "pattern", "email"})
    if rules.HasField("min_len"):
        yield _min_len(rules.min_len)
    if rules.HasField("max_len"):
        yield _max_len(rules.max_len)
    if rules.HasField("pattern"):
        yield _pattern(field, rules.pattern)
    if rules.email:
        yield _email_problem


def _int_rules(
    field: FieldDescriptor, rules: validate_pb2.Int32Rules | validate_pb2.Int64Rules
) -> Iterable[_ValueRule]:
    _refuse_other_rules(field, rules, {"gte", "lte"})
    least = rules.gte if rules.HasField("gte") else None
    most = rules.lte if rules.HasField("lte") else None
    if least is not None and most is not None:
        if least > most:
            raise UnknownRule(f"{field.full_name}: a range from {least} to {most} holds nothing")
        description = f"must be between {least} and {most}"
    elif least is not None:
        description = f"must be at least {least}"
    else:
        description = f"must be at most {most}"

    def range_problem(value: int) -> str | None:
        out = (least is not None and value < least) or (most is not None and value > most)
        return description if out else None

    yield range_problem


def _enum_rules(field: FieldDescriptor, rules: validate_pb2.EnumRules) -> Iterable[_ValueRule]:
    _refuse_other_rules(field, rules, {"defined_only"})
    if not rules.defined_only or field.enum_type is None:
        return
    known = frozenset(field.enum_type.values_by_number)
    description = f"must be one of {', '.join(_enum_words(field.enum_type))}"

    def defined_problem(value: int) -> str | None:
        return None if value in known else description

    yield defined_problem


def _enum_words(enum: EnumDescriptor) -> list[str]:
    """Return an enum's values in JSON: the option `word`, or the rest of the name."""
    prefix = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", enum.name).upper() + "_"
    return [
        value.GetOptions().Extensions[annotations_pb2.word]
        or value.name.removeprefix(prefix).lower()
        for value in enum.values
        if value.number != 0
    ]


_RulesMaker = Callable[[FieldDescriptor, Any], Iterable[_ValueRule]]
_VALUE_RULES: Final[dict[str, tuple[int, _RulesMaker]]] = {
    "string": (FieldDescriptor.TYPE_STRING, _string_rules),
    "int32": (FieldDescriptor.TYPE_INT32, _int_rules),
    "int64": (FieldDescriptor.TYPE_INT64, _int_rules),
    "enum": (FieldDescriptor.TYPE_ENUM, _enum_rules),
}


def _refuse_other_rules(
    field: FieldDescriptor | Descriptor, rules: Message, known: set[str]
) -> None:
    """Raise on a rule that is not supported, also one of a newer buf.validate."""
    for rule, _ in rules.ListFields():
        if rule.name not in known:
            raise UnknownRule(f"{field.full_name}: the rule {rule.full_name} is not supported")
    if len(UnknownFieldSet(rules)):
        raise UnknownRule(f"{field.full_name}: a rule that this buf.validate does not know")


def _min_len(least: int) -> _ValueRule:
    plural = "character" if least == 1 else "characters"
    description = f"must have at least {least} {plural}"
    return lambda value: description if len(value) < least else None


def _max_len(most: int) -> _ValueRule:
    description = f"must have at most {most} characters"
    return lambda value: description if len(value) > most else None


def _pattern(field: FieldDescriptor, pattern: str) -> _ValueRule:
    try:
        search = re.compile(_from_re2(field, pattern)).search
    except re.error as error:
        raise UnknownRule(f"{field.full_name}: the pattern does not compile: {error}") from None
    description = PATTERN_DESCRIPTIONS.get(pattern, MALFORMED)
    return lambda value: None if search(value) else description


def _from_re2(field: FieldDescriptor, pattern: str) -> str:
    r"""Translate an RE2 pattern to Python's syntax.

    RE2's `$` matches at the end of the text only; Python's also before a last newline. RE2's
    classes are ASCII; `\S` keeps Python's wider meaning. Other escapes and groups are refused.
    """
    for unlike in re.finditer(r"\\(?:[A-RT-Za-z0-9])|\(\?|\[\[:", re.sub(r"\\\\", "", pattern)):
        raise UnknownRule(f"{field.full_name}: {unlike[0]} in a pattern is not supported")
    parts = re.findall(r"\\.|\[(?:\\.|[^\]\\])*\]|.", pattern, re.DOTALL)
    return "".join(r"\Z" if part == "$" else part for part in parts)


def _nul_problem(value: str) -> str | None:
    return "must not contain the NUL character" if "\0" in value else None


def _email_problem(value: str) -> str | None:
    try:
        validate_email(value, check_deliverability=False)
    except EmailNotValidError:
        return "must be an e-mail address"
    return None


def _check_money(money: money_pb2.Money, path: str, found: list[FieldProblem]) -> None:
    problem = amount_problem(money)
    if currency := money.currency_code:
        if unknown := currency_problem(currency):
            found.append(FieldProblem(f"{path}.currency_code", unknown))
        problem = problem or decimals_problem(money, currency)
    if problem:
        found.append(FieldProblem(path, problem))


def _check_timestamp(time: timestamp_pb2.Timestamp, path: str, found: list[FieldProblem]) -> None:
    in_range = TIMESTAMP_SECONDS_MIN <= time.seconds <= TIMESTAMP_SECONDS_MAX
    if not in_range or not 0 <= time.nanos <= NANOS_MAX:
        found.append(FieldProblem(path, "must be a time between the years 1 and 9999"))


def _check_duration(length: duration_pb2.Duration, path: str, found: list[FieldProblem]) -> None:
    in_range = abs(length.seconds) <= DURATION_SECONDS_MAX and abs(length.nanos) <= NANOS_MAX
    if not in_range or length.seconds * length.nanos < 0:
        found.append(FieldProblem(path, "must be a length of time of at most 10000 years"))


def _check_update_mask(request: Message, _prefix: str, found: list[FieldProblem]) -> None:
    found.extend(mask_problems(request))


def _check_nothing(message: Message, path: str, found: list[FieldProblem]) -> None:
    """Accept any field mask: `_check_update_mask` checks its paths in the request around it."""


_BUILT_IN: Final[dict[str, _MessageCheck]] = {
    "google.protobuf.FieldMask": _check_nothing,
    "google.type.Money": _check_money,
    "google.protobuf.Timestamp": _check_timestamp,
    "google.protobuf.Duration": _check_duration,
}
