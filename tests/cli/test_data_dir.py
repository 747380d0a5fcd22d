import fcntl
import json
import os
import stat
from pathlib import Path

import pytest

from cli.data_dir import DataDir
from cli.failures import Failure
from core.security.keyring import Keyring
from core.server.settings import CoreSettings
from rpc.metadata import Credentials


@pytest.fixture
def directory(tmp_path: Path) -> DataDir:
    made = DataDir(tmp_path / "data")
    made.make()
    return made


def _mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_files_and_directories_are_readable_by_their_owner_only(directory: DataDir) -> None:
    directory.read_or_create_secrets(directory.database)
    directory.write_admin(Credentials("ADMIN-BUSINESS", "k"))
    assert _mode(directory.path) == _mode(directory.logs) == _mode(directory.profiles) == 0o700
    assert _mode(directory.secrets) == _mode(directory.admin) == 0o600


def test_a_file_in_place_of_the_directory_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(Failure, match="Cannot create"):
        DataDir(tmp_path / "file" / "data").make()


def test_the_secrets_are_created_once_and_the_core_accepts_them(directory: DataDir) -> None:
    made = directory.read_or_create_secrets(directory.database)
    assert directory.read_or_create_secrets(directory.database) == made
    assert len(Keyring.parse(made.keyring()).keys) == 1
    settings = CoreSettings.from_environment(
        {
            "NIVISCO_DATABASE_URL": "sqlite+aiosqlite:////nowhere",
            "NIVISCO_SECRET_KEYS": made.keyring(),
            "NIVISCO_SERVICE_TOKENS": made.tokens(),
        }
    )
    assert sorted(settings.service_tokens.values()) == ["operator", "scheduler", "webhooks"]


def test_no_representation_shows_a_secret(directory: DataDir) -> None:
    made = directory.read_or_create_secrets(directory.database)
    shown = repr(made) + repr(Credentials("A", "sesame"))
    assert "sesame" not in shown
    assert not any(token in shown for token in made.service_tokens.values())
    assert made.secret_keys[0][1] not in shown


def test_lost_secrets_are_not_replaced_while_a_database_exists(
    directory: DataDir,
) -> None:
    directory.database.write_bytes(b"SQLite format 3")
    with pytest.raises(Failure, match="cannot be made again"):
        directory.read_or_create_secrets(directory.database)
    assert not directory.secrets.exists()


@pytest.mark.parametrize(
    "content",
    [
        *("", "{", "[]", "{}", "null", "\x00\xff", '{"secret_keys": [], "service_tokens": {}}'),
        '{"secret_keys": [{"id": "k", "key": "c2hvcnQ="}], "service_tokens": {}}',
    ],
)
def test_broken_secrets_are_refused_and_not_changed(directory: DataDir, content: str) -> None:
    directory.secrets.write_text(content)
    with pytest.raises(Failure, match=r"secrets\.json is broken"):
        directory.read_or_create_secrets(directory.database)
    assert directory.secrets.read_text() == content


def test_the_error_about_a_broken_keyring_contains_no_secret(directory: DataDir) -> None:
    directory.read_or_create_secrets(None)
    content = json.loads(directory.secrets.read_text())
    content["secret_keys"][0]["key"] = "sesame"
    directory.secrets.write_text(json.dumps(content))
    with pytest.raises(Failure) as refused:
        directory.read_secrets()
    assert "sesame" not in refused.value.message


def test_readable_secrets_become_mode_600(directory: DataDir) -> None:
    directory.read_or_create_secrets(None)
    directory.secrets.chmod(0o644)
    directory.read_secrets()
    assert _mode(directory.secrets) == 0o600


def test_replacing_a_file_leaves_no_temporary_file(directory: DataDir) -> None:
    directory.write_admin(Credentials("A", "1"))
    directory.write_admin(Credentials("A", "2"))
    assert directory.read_admin() == Credentials("A", "2")
    assert sorted(path.name for path in directory.path.iterdir()) == [
        "admin.json",
        "logs",
        "profiles",
    ]


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"business_id": 1, "api_key": "k"}'])
def test_a_broken_admin_file_counts_as_missing(directory: DataDir, content: str) -> None:
    directory.admin.write_text(content)
    assert directory.read_admin() is None


def test_a_second_up_is_refused_with_the_pid_of_the_first(directory: DataDir) -> None:
    held = directory.lock()
    with pytest.raises(Failure, match=rf"pid {os.getpid()}\) runs on"):
        directory.lock()
    os.close(held)
    os.close(directory.lock())


def test_the_lock_is_not_inherited(directory: DataDir) -> None:
    held = directory.lock()
    assert not os.get_inheritable(held)
    os.close(held)


def test_a_start_waits_for_processes_of_an_earlier_run(directory: DataDir) -> None:
    left = os.open(directory.path / "processes.lock", os.O_RDWR | os.O_CREAT)
    fcntl.flock(left, fcntl.LOCK_EX)
    with pytest.raises(Failure, match="an earlier run"):
        directory.lock_processes(wait_seconds=0.05)
    os.close(left)
    os.close(directory.lock_processes(wait_seconds=0.05))
