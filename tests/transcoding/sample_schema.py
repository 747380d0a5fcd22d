"""Sample messages for cases that the public schema does not have."""

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, text_format
from google.protobuf.descriptor import Descriptor
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp
from google.type.money_pb2 import Money

_PACKAGE = "nivisco.sample.v1"
_OWN = f".{_PACKAGE}."
_MONEY = f"type: TYPE_MESSAGE type_name: '.{Money.DESCRIPTOR.full_name}'"
_TIME = f"type: TYPE_MESSAGE type_name: '.{Timestamp.DESCRIPTOR.full_name}'"
_MANY = "label: LABEL_REPEATED"
_ENTRY = """nested_type { name: 'NumbersEntry' options { map_entry: true }
    field { name: 'key' number: 1 label: LABEL_OPTIONAL type: TYPE_STRING }
    field { name: 'value' number: 2 label: LABEL_OPTIONAL type: TYPE_INT32 } }"""
_FIELDS = {
    "Item": [("name", "type: TYPE_STRING"), ("price", _MONEY)],
    "Order": [
        ("tags", "type: TYPE_STRING label: LABEL_REPEATED"),
        ("counts", "type: TYPE_INT32 label: LABEL_REPEATED"),
        ("items", f"type: TYPE_MESSAGE type_name: '{_OWN}Item' label: LABEL_REPEATED"),
        ("times", f"{_TIME} label: LABEL_REPEATED"),
        ("big", "type: TYPE_INT64"),
        ("positive", "type: TYPE_UINT32"),
    ],
    "TwoAmounts": [("price", _MONEY), ("fee", _MONEY), ("note", "type: TYPE_STRING")],
    "TakesCurrency": [("price", _MONEY), ("currency", "type: TYPE_STRING")],
    "TakesSuccess": [("success", "type: TYPE_BOOL")],
    "RepeatsMoney": [("prices", f"{_MONEY} label: LABEL_REPEATED")],
    "ContainsItself": [("inner", f"type: TYPE_MESSAGE type_name: '{_OWN}ContainsItself'")],
    "HasBytes": [("raw", "type: TYPE_BYTES")],
    "HasFloat": [("number", "type: TYPE_DOUBLE")],
    "HasChoice": [
        ("one", "type: TYPE_STRING oneof_index: 0"),
        ("other", "type: TYPE_STRING oneof_index: 0"),
    ],
    "HasNumbersByName": [
        ("numbers", f"type: TYPE_MESSAGE type_name: '{_OWN}HasNumbersByName.NumbersEntry' {_MANY}")
    ],
    "HasUnknownWords": [("word", f"type: TYPE_ENUM type_name: '{_OWN}Odd'")],
}


def _message(name: str, fields: list[tuple[str, str]]) -> str:
    lines = [
        f"field {{ name: '{field}' number: {number} "
        f"{'' if 'label' in rest else 'label: LABEL_OPTIONAL'} {rest} }}"
        for number, (field, rest) in enumerate(fields, 1)
    ]
    choice = "oneof_decl { name: 'choice' }" if name == "HasChoice" else ""
    entry = _ENTRY if name == "HasNumbersByName" else ""
    return f"message_type {{ name: '{name}' {' '.join(lines)} {choice} {entry} }}"


def _register() -> None:
    text = f"""
        name: 'nivisco/sample/v1/sample.proto' package: '{_PACKAGE}' syntax: 'proto3'
        dependency: '{Money.DESCRIPTOR.file.name}' dependency: '{Timestamp.DESCRIPTOR.file.name}'
        enum_type {{ name: 'Odd'
            value {{ name: 'ODD_UNSPECIFIED' number: 0 }} value {{ name: 'STRANGE' number: 1 }} }}
        {" ".join(_message(name, fields) for name, fields in _FIELDS.items())}
    """
    file = text_format.Parse(text, descriptor_pb2.FileDescriptorProto())
    descriptor_pool.Default().AddSerializedFile(file.SerializeToString())


def sample(name: str) -> Descriptor:
    """Return the descriptor of one of the messages above."""
    return descriptor_pool.Default().FindMessageTypeByName(f"{_PACKAGE}.{name}")


def sample_class(name: str) -> type[Message]:
    return message_factory.GetMessageClass(sample(name))


_register()
