"""`nivisco logs`: which lines it shows, in which order, and how it follows."""

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner

from cli.log_reader import OpenLog, parse_line, pretty
from cli.main import main


def line(second: int, process: str, message: str, /, **fields: Any) -> str:
    return json.dumps(
        {
            "time": f"2026-11-28T12:00:{second:02}.000Z",
            "level": "INFO",
            "process": process,
            "logger": "core",
            "request_id": "-",
            "message": message,
        }
        | fields
    )


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """Logs of a core that rotated twice, of two workers of an adapter, and of a library."""
    logs = tmp_path / "logs"
    logs.mkdir()
    (logs / "core.log.2").write_text(line(1, "core", "a") + "\n")
    (logs / "core.log.1").write_text(line(3, "core", "c", request_id="R-1") + "\n")
    (logs / "core.log").write_text(line(5, "core", "e") + "\na library's line\n")
    (logs / "adapter.log").write_text(
        line(2, "adapter 1", "b") + "\n" + line(4, "adapter 2", "d", request_id="R-1") + "\n"
    )
    return tmp_path


def shown(directory: Path, *options: str) -> list[str]:
    """Return the messages that the command shows."""
    result = CliRunner().invoke(main, ["logs", "--data-dir", str(directory), "--json", *options])
    assert result.exit_code == 0, result.output
    return [json.loads(each)["message"] for each in result.stdout.splitlines()]


@pytest.mark.parametrize(
    ("options", "messages"),
    [
        ((), "abcde"),
        (("--lines", "2"), "e"),  # the library's line is the last one
        (("--request", "R-1"), "cd"),
        (("--request", "R-2"), ""),
        (("--process", "core"), "ace"),
        (("--process", "adapter"), "bd"),
        (("--process", "adapter 2"), "d"),
        (("--process", "core", "--process", "adapter 1"), "abce"),
        (("--process", "core", "--request", "R-1"), "c"),
    ],
)
def test_lines_of_all_files_are_shown_in_order_of_time(
    directory: Path, options: tuple[str, ...], messages: str
) -> None:
    assert "".join(shown(directory, *options)) == messages


def test_people_see_a_line_each_with_fields_and_lines_that_are_no_json(directory: Path) -> None:
    result = CliRunner().invoke(main, ["logs", "--data-dir", str(directory), "-n", "3"])
    assert result.stdout.splitlines() == [
        "2026-11-28T12:00:04.000Z INFO     adapter 2  d request_id=R-1",
        "2026-11-28T12:00:05.000Z INFO     core       e",
        "a library's line",
    ]


def test_without_logs_the_command_says_what_to_do(tmp_path: Path) -> None:
    result = CliRunner().invoke(main, ["logs", "--data-dir", str(tmp_path / "none")])
    assert result.exit_code == 1
    assert result.output == (
        f"Error: No logs in {tmp_path}/none/logs. Start `nivisco up`, or name its --data-dir.\n"
    )


@pytest.mark.parametrize(
    ("fields", "ends_with"),
    [
        ({"status": 200, "action": "get_user"}, "m status=200 action=get_user"),
        ({"reason": "two words"}, 'm reason="two words"'),
        ({"reason": "a\x1b[2Jb\u009b"}, 'm reason="a\\u001b[2Jb\\u009b"'),
        ({"exc_info": "first\nsecond\x1b\n"}, "m exc_info=\n    first\n    second\\x1b"),
        ({"message": "m\x1b[2J"}, "m\\x1b[2J"),
        ({"value": None}, "m value=null"),
    ],
)
def test_values_are_shown_without_control_characters(
    fields: dict[str, Any], ends_with: str
) -> None:
    text = pretty(parse_line(line(1, "core", "m", **fields).encode(), ""))
    assert click.unstyle(text).endswith(ends_with)


@pytest.fixture
def opened() -> Iterator[Callable[[Path], OpenLog]]:
    """Opens logs, which are closed at the end."""
    with ExitStack() as stack:
        yield lambda path: stack.enter_context(closing(OpenLog(path)))


def test_a_log_is_followed_across_rotations_without_losing_or_repeating_a_line(
    tmp_path: Path, opened: Callable[[Path], OpenLog]
) -> None:
    path = tmp_path / "core.log"
    path.write_text("1\n2")
    log = opened(path)
    seen = [each.text for each in log.all_lines()]
    with path.open("a") as file:
        file.write("\n3\n")
    seen += [each.text for each in log.new_lines()]
    with path.open("a") as file:
        file.write("4\n")
    path.rename(tmp_path / "core.log.1")
    seen += [each.text for each in log.new_lines()]
    path.write_text("5\n")
    seen += [each.text for each in log.new_lines()]
    seen += [each.text for each in log.new_lines()]
    assert seen == ["1", "2", "3", "4", "5"]


def test_what_a_late_process_adds_to_a_rotated_file_is_shown_for_two_seconds(
    tmp_path: Path,
) -> None:
    clock = iter((10.0, 10.2, 12.0, 14.0)).__next__
    path = tmp_path / "core.log"
    path.touch()
    with closing(OpenLog(path, clock)) as log, path.open("a", buffering=1) as late:
        path.rename(tmp_path / "core.log.1")
        path.write_text("new\n")
        seen = []
        for text in ("be", "fore\n", "last\n", "too late\n"):
            late.write(text)
            late.flush()
            seen.append([each.text for each in log.new_lines()])
    assert seen == [["new"], ["before"], ["last"], []]


def test_a_log_that_is_rotated_after_it_was_opened_is_read_once(
    tmp_path: Path, opened: Callable[[Path], OpenLog]
) -> None:
    path = tmp_path / "core.log"
    path.write_text("1\n")
    log = opened(path)
    path.rename(tmp_path / "core.log.1")
    path.write_text("2\n")
    assert [each.text for each in log.all_lines()] == ["1"]
    assert [each.text for each in log.new_lines()] == ["2"]


def test_following_shows_what_is_added_until_it_is_interrupted(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    core = directory / "logs" / "core.log"
    steps: Iterator[Callable[[], int]] = iter(
        [
            lambda: core.write_text(core.read_text() + line(6, "core", "f") + "\n"),
            lambda: (directory / "logs" / "new.log").write_text(line(7, "new", "g") + "\n"),
        ]
    )

    def sleep(_seconds: float) -> None:
        try:
            next(steps)()
        except StopIteration:
            raise KeyboardInterrupt from None

    monkeypatch.setattr("cli.log_reader.time.sleep", sleep)
    assert "".join(shown(directory, "--follow")) == "abcdefg"
