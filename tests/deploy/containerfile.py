"""Builds a Containerfile's root file trees by its steps, and runs commands in them, without podman.

The base image is this machine's /usr, /etc and Python, read-only. A step runs in mount and process
namespaces, with its stage's tree as the root. What an engine would do besides (layers, networks,
limits of resources) is not done.
"""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

_BASE = [Path(each) for each in ("/usr", "/etc", "/lib", "/lib64", "/bin", "/sbin")]
_PYTHON = Path(sys.base_prefix)
_BASE_ENVIRONMENT = {
    "PATH": f"{_PYTHON}/bin:/usr/local/bin:/usr/bin:/bin",
    "PIP_NO_COMPILE": "1",  # seconds, of no matter to what the image can do
}


@dataclass
class Image:
    """A stage's tree, and what it says of the process to run."""

    root: Path
    environment: dict[str, str] = field(default_factory=lambda: dict(_BASE_ENVIRONMENT))
    folder: str = "/"
    user: str = "0:0"
    entrypoint: list[str] = field(default_factory=list)
    command: list[str] = field(default_factory=list)
    health_check: list[str] = field(default_factory=list)

    def in_namespaces(
        self, command: Sequence[str], *, read_only: bool = False, **variables: str
    ) -> list[str]:
        """Return the command that runs `command` in the tree, as the image's user.

        A read-only tree has /var/lib/nivisco in memory, as a volume.
        """
        root = shlex.quote(str(self.root))
        steps = [f"mount --bind {root} {root}"]
        for path in [*_BASE, *([] if _PYTHON.is_relative_to("/usr") else [_PYTHON])]:
            inside = self.root / path.relative_to("/")
            if path.is_dir() and not path.is_symlink():
                inside.mkdir(parents=True, exist_ok=True)
                steps.append(f"mount --bind -o ro {path} {shlex.quote(str(inside))}")
            elif path.is_symlink() and not inside.is_symlink():
                inside.symlink_to(path.readlink())
        for folder in ("proc", "dev"):
            (self.root / folder).mkdir(exist_ok=True)
        steps += [f"mount --rbind /dev {root}/dev", f"mount -t proc proc {root}/proc"]
        if read_only:
            steps += [
                f"mount -o remount,bind,ro {root}",
                f"mount -t tmpfs -o mode=1777 tmpfs {root}/var/lib/nivisco",
            ]
        environment = [f"{name}={value}" for name, value in (self.environment | variables).items()]
        inner = f'cd "{self.folder}" && exec "$@"'
        chroot = ["chroot", f"--userspec={self.user}", str(self.root), "/usr/bin/env", "-i"]
        chroot += [*environment, "/bin/sh", "-c", inner, "sh", *command]
        script = " && ".join([*steps, f"exec {shlex.join(chroot)}"])
        namespaces = ("--mount", "--propagation", "private", "--pid", "--fork", "--kill-child")
        return ["unshare", *namespaces, "sh", "-c", script]

    def run(self, command: Sequence[str], *, read_only: bool = False, **variables: str) -> str:
        """Return the output of a command that ends."""
        ended = subprocess.run(
            self.in_namespaces(command, read_only=read_only, **variables),
            capture_output=True,
            text=True,
            check=False,
        )
        assert ended.returncode == 0, f"{command}: {ended.stdout}{ended.stderr}"
        return ended.stdout


Instead = Callable[[Image, str], bool]
"""Does a RUN step in another way, and returns True; or returns False."""


def instructions(text: str) -> Iterator[tuple[str, str]]:
    """Yield the instructions of a Containerfile with their arguments."""
    without_comments = re.sub(r"^#.*\n", "", text, flags=re.MULTILINE)
    for line in re.sub(r"\\\n\s*", "", without_comments).splitlines():
        if line.strip():
            name, _, rest = line.partition(" ")
            yield name, rest.strip()


def build(containerfile: Path, context: Path, folder: Path, instead: Instead) -> Image:
    """Build all stages in `folder`, and return the last one.

    Raises:
        AssertionError: a step failed, or is of a kind that this builder does not know.
    """
    stages: dict[str, Image] = {}
    image = Image(folder)
    for name, rest in instructions(containerfile.read_text()):
        if name == "FROM":
            stage = rest.partition(" AS ")[2] or "final"
            image = stages[stage] = Image(folder / stage)
            image.root.mkdir(parents=True)
        elif name == "COPY":
            _copy(image, rest, stages, context)
        elif name == "RUN":
            if not instead(image, rest):
                image.run(["/bin/sh", "-c", rest])
        elif name not in ("ARG", "EXPOSE", "STOPSIGNAL"):
            _set(image, name, rest)
    return image


def _set(image: Image, name: str, rest: str) -> None:
    """Set what an instruction says of the process to run."""
    match name:
        case "WORKDIR":
            image.folder = rest
            _inside(image, rest).mkdir(parents=True, exist_ok=True)
        case "ENV":
            variable, _, value = rest.partition("=")
            image.environment[variable] = value
        case "USER":
            image.user = rest
        case "HEALTHCHECK":
            image.health_check = json.loads(rest.partition(" CMD ")[2])
        case "ENTRYPOINT":
            image.entrypoint = json.loads(rest)
        case "CMD":
            image.command = json.loads(rest)
        case _:
            raise AssertionError(f"{name} is not known here")


def _inside(image: Image, path: str) -> Path:
    return image.root / (Path(image.folder) / path).relative_to("/")


def _copy(image: Image, rest: str, stages: dict[str, Image], context: Path) -> None:
    words = rest.split()
    if words[0].startswith("--from="):  # the other stage is not needed afterwards
        stage, source, target = words
        root = stages[stage.removeprefix("--from=")].root
        _inside(image, target).parent.mkdir(parents=True, exist_ok=True)
        (root / source.lstrip("/")).rename(_inside(image, target))
        return
    *sources, target = words
    for source in sources:
        into = _inside(image, f"{target}{source}" if target.endswith("/") else target)
        if (context / source).is_dir():
            shutil.copytree(context / source, into, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy2(context / source, into)


def link_or_copy(source: str, target: str) -> None:
    """Copy a file as a hard link where the file system allows it."""
    try:
        os.link(source, target, follow_symlinks=False)
    except OSError:
        shutil.copy2(source, target, follow_symlinks=False)
