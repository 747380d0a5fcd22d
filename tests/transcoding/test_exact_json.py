import pytest

from transcoding import exact_json
from transcoding.exact_json import Number


@pytest.mark.parametrize(
    "text",
    ["25.50", "0.1", "-0", "1E+400", "100000000000000000000000.01", "0.10000000000000000555", "7"],
)
def test_a_number_keeps_its_text(text: str) -> None:
    assert exact_json.write(exact_json.read(text)) == text


@pytest.mark.parametrize("text", ["NaN", "Infinity", "-Infinity", "[" * 100_000, "{", "", "1 2"])
def test_invalid_json_is_rejected(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - the sentence is the parser's
        exact_json.read(text)


@pytest.mark.parametrize("text", ["", "05", "+5", "1.", ".5", "1e", "NaN", "0x1", "1_000", "1 "])
def test_only_json_numbers_are_numbers(text: str) -> None:
    with pytest.raises(ValueError, match="not a number"):
        Number.parse(text)


def test_an_indented_document_is_the_same_document() -> None:
    text = '{"a": [1.50, {"b": null}, "x"], "c": {}, "d": [], "e": true, "f": "Zoë"}'
    value = exact_json.read(text)
    assert exact_json.read(exact_json.write(value, indent=2)) == value
    assert exact_json.write({"a": [Number("1.50")]}, indent=2) == '{\n  "a": [\n    1.50\n  ]\n}'


def test_indented_text_has_letters_unescaped_and_control_characters_escaped() -> None:
    assert exact_json.write("Zoë", indent=2) == '"Zoë"'
    assert exact_json.write("\x1b[2J\x9b", indent=2) == '"\\u001b[2J\\u009b"'
    assert exact_json.write("Zoë\ud800") == '"Zo\\u00eb\\ud800"'
