"""What the documents say about the code: paths, links, settings, log messages, checks, requests."""

import ast
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from adapter.metrics import AdapterMetrics
from core.database.transactions import Database
from core.doctor.checks import AUDIT, CHECKS, CLOCK
from core.due_work.backlog_store import Backlog
from core.metrics import (
    GATEWAY_CALL_SECONDS,
    LIMITED,
    REQUEST_SECONDS,
    WALLET_BATCH_MOVEMENTS,
)
from core.server.gauges import CoreGauges
from scheduler.metrics import Metrics as SchedulerMetrics
from tests.processes import Start, shown, start_up

ROOT = Path(__file__).parents[1]
OPERATING = ROOT / "docs" / "operating.md"
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
SOURCES = [
    ROOT / folder
    for folder in ("adapter", "cli", "core", "portal", "rpc", "sandbox", "scheduler", "transcoding")
]
# Folders that commands make, and files of an installation.
MADE = ("build/", "clients/grpc-typescript/gen", "dist/", "logs/", "var/", "unix:/")
ALARMING = ("warning", "error", "exception", "critical")

pages = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))


def _source_text() -> str:
    return "".join(path.read_text() for folder in SOURCES for path in folder.rglob("*.py"))


def _prose(page: Path) -> str:
    """Return a page without its code blocks."""
    return re.sub(r"^(```.*?^```$|    .*?$)", "", page.read_text(), flags=re.DOTALL | re.MULTILINE)


def _quoted(text: str) -> list[str]:
    return re.findall(r"`([^`\n]+)`", text)


def _files(text: str) -> Iterator[str]:
    """Yield what a text quotes that is written as a path, or as the name of a source file."""
    folders = {path.name for path in ROOT.iterdir() if path.is_dir()}
    for quoted in _quoted(text):
        is_path = re.fullmatch(r"[\w.-]+(/[\w.-]+)*/?", quoted) and not quoted.startswith(MADE)
        first, slash, _ = quoted.partition("/")
        if is_path and ((slash and first in folders) or re.search(r"\.(py|js|proto)$", quoted)):
            yield quoted


def _exists(file: str, folders: list[str]) -> bool:
    """Return whether a path exists; a name without a folder is in one of `folders`, or anywhere."""
    if "/" in file:
        return any((ROOT / folder / file).exists() for folder in ["", *folders])
    if folders:
        return any((ROOT / folder / file).exists() for folder in folders)
    sources = [*SOURCES, ROOT / "tests", ROOT / "clients", ROOT / "proto"]
    return any(next(folder.rglob(file), None) for folder in sources)


@pages
def test_every_path_on_a_page_exists(page: Path) -> None:
    missing = []
    for line in _prose(page).splitlines():
        first_cell = line.split("|")[1] if line.startswith("|") else ""
        folders = [each for each in _quoted(first_cell) if each.endswith("/")]
        missing += [file for file in _files(line) if not _exists(file, folders)]
    assert missing == []


@pages
def test_every_link_on_a_page_leads_somewhere(page: Path) -> None:
    broken = []
    for target in re.findall(r"\]\(([^)\s]+)\)", _prose(page)):
        path, _, anchor = target.partition("#")
        linked = page.parent / path if path else page
        if not linked.exists() or (anchor and anchor not in _anchors(linked)):
            broken.append(target)
    assert broken == []


def _anchors(page: Path) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", each.lower()).replace(" ", "-") for each in headings}


def test_the_readme_lists_every_folder() -> None:
    tracked = {path.split("/")[0] for path in _tracked() if "/" in path}
    listed = set(re.findall(r"^\| `(\w+)/` \|", (ROOT / "README.md").read_text(), re.MULTILINE))
    assert listed == {each for each in tracked if each[0] != "."} - {"third_party"}


def _tracked() -> list[str]:
    if not (ROOT / ".git").exists():
        pytest.skip("not a git checkout")
    command = ["git", "ls-files"]
    return subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.splitlines()


def test_every_setting_is_in_the_operating_guide() -> None:
    guide = OPERATING.read_text()
    whole_names = r"NIVISCO_[A-Z_]*[A-Z](?![A-Z_])"  # no prefixes such as NIVISCO_X_*
    settings = set(re.findall(whole_names, _source_text()))
    assert len(settings) > 15
    assert sorted(name for name in settings if f"`{name}`" not in guide) == []


def test_the_operating_guide_explains_every_warning_and_error_of_the_log() -> None:
    alarming, others = _log_messages()
    listed = _first_cells("Logs")
    assert len(alarming) > 40
    assert len(listed) == len(set(listed))
    assert sorted(alarming - set(listed)) == []
    assert sorted(set(listed) - alarming - others) == []


def _log_messages() -> tuple[set[str], set[str]]:
    """Return the messages that the processes log at WARNING or above, and the others."""
    alarming: set[str] = set()
    others: set[str] = set()
    for folder in ("adapter", "cli", "core", "rpc", "scheduler"):
        for path in (ROOT / folder).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                match node:
                    case ast.Call(ast.Attribute(ast.Name("logger" | "_logger" | "_log"), level)):
                        *_, message = node.args
                        found = alarming if level in ALARMING else others
                        found |= set(_texts(message))
                    case ast.Call(ast.Name("log_request"), [_, _, message, _]):
                        others |= set(_texts(message))
    return alarming, others


def _texts(message: ast.expr) -> Iterator[str]:
    """Yield the constants that a log call's message is one of."""
    match message:
        case ast.Constant(str(text)):
            yield text
        case ast.IfExp(_, if_true, if_false):
            yield from _texts(if_true)
            yield from _texts(if_false)
        case _:
            raise AssertionError(f"a log message is a constant: {ast.unparse(message)}")


def test_every_check_of_the_doctor_is_in_the_operating_guide() -> None:
    assert set(_first_cells("The doctor")) == {check.name for check in (*CHECKS, AUDIT, CLOCK)}


def test_every_metric_is_in_the_operating_guide_with_its_type() -> None:
    gauges = CoreGauges(Database("sqlite:///unused"), lambda: 0)
    gauges.show(Backlog(datetime.now(UTC), {}, {}, {}, {}))
    core = (REQUEST_SECONDS, GATEWAY_CALL_SECONDS, WALLET_BATCH_MOVEMENTS, LIMITED, gauges)
    families = [
        *(family for each in core for family in each.collect()),
        *AdapterMetrics(lambda: 0).collect(),
        *SchedulerMetrics().registry.collect(),
    ]
    metrics = {
        (each.name + ("_total" if each.type == "counter" else ""), each.type)
        for each in families
        if each.name.startswith("nivisco_")
    }
    section = OPERATING.read_text().partition("\n## Metrics\n")[2].partition("\n## ")[0]
    rows = [line.split(" | ") for line in section.splitlines() if line.startswith("| `")]
    listed = [(quoted.partition("{")[0], row[1]) for row in rows for quoted in _quoted(row[0])]
    assert len(listed) == len(set(listed))
    assert set(listed) == metrics


def _first_cells(heading: str) -> list[str]:
    """Return what the first cells of the tables of a section quote."""
    section = OPERATING.read_text().partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    rows = [line for line in section.splitlines() if line.startswith("|")]
    return [quoted for row in rows for quoted in _quoted(row.split("|")[1])]


def test_the_first_charge_of_the_readme_can_be_pasted(start: Start, tmp_path: Path) -> None:
    section = (ROOT / "README.md").read_text().partition("## A first charge\n")[2]
    commands, response = re.findall(r"(?:^    .*\n)+", section, re.MULTILINE)[:2]
    up = start_up(start, tmp_path / "var")
    url = shown(up.wait_for("Ctrl-C stops everything.\n"), "JSON endpoint")
    kept = {name: v for name, v in os.environ.items() if not name.startswith("NIVISCO_")}
    pasted = subprocess.run(
        ["sh", "-e", "-c", commands.replace(".venv/bin/nivisco", f"{sys.executable} -P -m cli")],
        env=kept | {"NIVISCO_URL": url},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    printed = re.findall(r"^\{\n.*?^\}$", pasted.stdout, re.DOTALL | re.MULTILINE)
    responses = [json.loads(each) for each in printed]
    shown_calls = re.findall(r"^    [^\s=]*nivisco call ", commands, re.MULTILINE)
    assert [each["success"] for each in responses] == [True] * len(shown_calls)
    charged, again, *_, records, refunded = responses
    assert charged == again
    assert records["count"] == 2
    assert (refunded["refund"]["amount"], refunded["refund"]["status"]) == (3, "succeeded")
    same_on_the_page = json.loads(response) | {
        name: charged[name] for name in ("transaction_id", "payment_id")
    }
    assert charged == same_on_the_page
