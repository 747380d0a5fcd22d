"""Filters of the templates of all languages."""

import textwrap
from collections.abc import Iterable
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from portal.reference.model import Action

_TEMPLATES = Path(__file__).parent / "templates"
WIDTH = 100
_TEXT_WIDTH = 92
"""Leaves room for the marks of a comment."""


def environment() -> Environment:
    """Return an environment whose templates write source code."""
    made = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,  # noqa: S701 - source code, not HTML
    )
    made.filters |= {
        "camel": camel,
        "pascal": pascal,
        "doc": doc,
        "wrapped": wrapped,
        "described": described,
    }
    return made


def pascal(name: str) -> str:
    """Return `charge_customer` as `ChargeCustomer`."""
    return "".join(part[0].upper() + part[1:] for part in name.split("_"))


def camel(name: str) -> str:
    """Return `charge_customer` as `chargeCustomer`."""
    made = pascal(name)
    return made[0].lower() + made[1:]


def described(action: Action) -> str:
    """Return the action's summary, and the rest of its description as a second paragraph."""
    return f"{action.summary}\n\n{action.description.removeprefix(action.summary)}".rstrip()


def wrapped(text: str, indent: str, first: str = "", rest: str | None = None) -> str:
    """Return the text broken at 100 columns, every line but the first with the indent."""
    lines: list[str] = []
    for number, paragraph in enumerate(text.split("\n\n")):
        if number:
            lines.append((rest or "").rstrip())
        lines += textwrap.wrap(
            " ".join(paragraph.split()),
            _TEXT_WIDTH - len(indent),
            initial_indent=first if not number else (rest or ""),
            subsequent_indent=rest or "",
            break_long_words=False,
            break_on_hyphens=False,
        )
    return "\n".join((indent + line).rstrip() for line in lines).removeprefix(indent)


def doc(text: str, indent: int, tags: Iterable[str] = ()) -> str:
    """Return a comment `/** … */`; its first line is already indented."""
    spaces = " " * indent
    tags = list(tags)
    body = " ".join(text.split()) if "\n\n" not in text else text
    body = body.replace("*/", "* /")
    if not tags and "\n\n" not in body and len(spaces) + len(body) + 7 <= WIDTH:
        return f"/** {body} */"
    lines = ["/**", spaces + wrapped(body, spaces, " * ", " * ")]
    if tags:
        lines.append(f"{spaces} *")
        lines += [
            # a type is one word, however long
            f"{spaces} * {tag}"
            if tag.startswith("@var")
            else spaces + wrapped(tag, spaces, " * ", " *     ")
            for tag in tags
        ]
    return "\n".join([*lines, f"{spaces} */"])
