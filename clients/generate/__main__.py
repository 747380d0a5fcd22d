"""`python -m clients.generate` writes the generated files of the client libraries.

With `--check` it writes nothing and fails if a file is out of date.
"""

import sys
from collections.abc import Mapping
from pathlib import Path

from clients.generate import go, php, python, typescript
from clients.generate.model import ROOT, interface

CLIENTS = ROOT / "clients"
_OWN_FOLDERS = (php.RESULTS,)
"""Folders with generated files only."""


def rendered() -> Mapping[str, str]:
    """Return the text of every generated file by its path in clients/."""
    api = interface()
    return dict([*python.render(api), *php.render(api), *typescript.render(api), *go.render(api)])


def differences(files: Mapping[str, str], folder: Path) -> list[str]:
    """Return the paths of files that are out of date."""
    there = {
        str(path.relative_to(folder)) for own in _OWN_FOLDERS for path in (folder / own).glob("*")
    }
    wrong = [
        path
        for path, text in files.items()
        if not (folder / path).is_file() or (folder / path).read_text() != text
    ]
    return sorted([*wrong, *(there - set(files))])


def main(arguments: list[str]) -> int:
    """Write or check the files; return the exit code."""
    files = rendered()
    wrong = differences(files, CLIENTS)
    if arguments == ["--check"]:
        for path in wrong:
            sys.stderr.write(f"clients/{path} is out of date: run make generate\n")
        return 1 if wrong else 0
    for path in wrong:
        target = CLIENTS / path
        if path in files:
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(files[path])
        else:
            target.unlink()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
