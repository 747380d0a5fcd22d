"""`python -m clients.generate FOLDER` writes the generated part of every client below a folder."""

import subprocess
import sys
import textwrap
import tomllib
from pathlib import Path
from typing import Any

import jinja2

from adapter.reference.build import reference
from clients.generate import shapes

HERE = Path(__file__).parent
ROOT = HERE.parents[1]


def main(target: Path) -> None:
    """Write everything."""
    templates = _templates()
    actions = list(reference().actions().values())
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    shared: dict[str, Any] = {"actions": actions, "version": version}

    def write(template: str, path: str, **more: Any) -> None:
        text = templates.get_template(template).render(shared | more)
        if path.endswith(".py"):
            text = _formatted(text)
        (target / path).parent.mkdir(parents=True, exist_ok=True)
        (target / path).write_text(text, encoding="utf-8")

    python = "python/nivisco_payments"
    write("python_version.jinja", f"{python}/version.py")
    write("python_models.jinja", f"{python}/models.py")
    write("python_client.jinja", f"{python}/client.py", asynchronous=False)
    write("python_client.jinja", f"{python}/async_client.py", asynchronous=True)
    write("typescript_version.jinja", "typescript/src/version.ts")
    write(
        "typescript_actions.jinja",
        "typescript/src/actions.ts",
        integers=shapes.integer_names(actions),
        secrets=sorted(shapes.SECRETS),
    )
    write("typescript_client.jinja", "typescript/src/client.ts")
    write("php_version.jinja", "php/src/Version.php")
    write("php_client.jinja", "php/src/Client.php")
    for action in actions:
        for record in shapes.results(action):
            path = f"php/src/Result/{record.name}.php"
            write("php_result.jinja", path, record=record, action=action)


def _templates() -> jinja2.Environment:
    made = jinja2.Environment(
        loader=jinja2.FileSystemLoader(HERE / "templates"),
        undefined=jinja2.StrictUndefined,
        autoescape=False,  # noqa: S701 - it writes source code, from our own schema
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    made.filters["wrapped"] = _wrapped
    made.filters["in_comment"] = lambda text: text.replace("*/", "*\\/")
    for name in (
        "camel", "inputs", "nested_name", "ordered", "pascal", "php_reading", "php_shape",
        "php_type", "python_type", "results", "typescript_type", "SECRETS", "IDEMPOTENCY_KEY",
    ):  # fmt: skip
        made.globals[name] = getattr(shapes, name)
    return made


def _wrapped(text: str, before: str, width: int = 96) -> str:
    """Return text on lines that each begin with `before`, but for the first."""
    return f"\n{before}".join(textwrap.wrap(text, width - len(before), break_on_hyphens=False))


def _formatted(text: str) -> str:
    ruff = str(Path(sys.executable).parent / "ruff")
    command = [ruff, "format", "--isolated", "--line-length", "100", "--stdin-filename", "a.py"]
    ended = subprocess.run(command, input=text, stdout=subprocess.PIPE, text=True, check=True)  # noqa: S603 - ours
    written: str = ended.stdout
    return written


if __name__ == "__main__":
    main(Path(sys.argv[1]))
