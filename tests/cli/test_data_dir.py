import fcntl
import json
import os
import stat
from pathlib import Path

import pytest

from cli.data_dir import AdminCredentials, DataDir
from cli.failures import Failure
from core.security.keyring import Keyring
from core.server.settings import CoreSettings


@pytest.fixture
def directory(tmp_path: Path) -> DataDir:
    made = DataDir(tmp_path / "data")
    made.make()
    return made


def _mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_what_is_made_is_for_its_owner_only(directory: DataDir) -> None:
    directory.read_or_create_secrets(directory.database)
    directory.write_admin(AdminCredentials("ADMIN-BUSINESS", "k"))
    assert _mode(directory.path) == _mode(directory.logs) == 0o700
    assert _mode(directory.secrets) == _mode(directory.admin) == 0o600


def test_a_file_in_the_place_of_the_directory_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(Failure, match="Cannot make"):
        DataDir(tmp_path / "file" / "data").make()


def test_the_secrets_are_made_once_and_the_core_takes_them(directory: DataDir) -> None:
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
    shown = repr(made) + repr(AdminCredentials("A", "sesame"))
    assert "sesame" not in shown
    assert not any(token in shown for token in made.service_tokens.values())
    assert made.secret_keys[0][1] not in shown


def test_lost_secrets_are_not_made_again_for_a_database_that_was_sealed_with_them(
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
def test_broken_secrets_are_refused_and_left_alone(directory: DataDir, content: str) -> None:
    directory.secrets.write_text(content)
    with pytest.raises(Failure, match=r"secrets\.json is broken"):
        directory.read_or_create_secrets(directory.database)
    assert directory.secrets.read_text() == content


def test_a_broken_keyring_is_refused_without_showing_it(directory: DataDir) -> None:
    directory.read_or_create_secrets(None)
    content = json.loads(directory.secrets.read_text())
    content["secret_keys"][0]["key"] = "sesame"
    directory.secrets.write_text(json.dumps(content))
    with pytest.raises(Failure) as refused:
        directory.read_secrets()
    assert "sesame" not in refused.value.message


def test_secrets_that_others_could_read_are_closed_to_them(directory: DataDir) -> None:
    directory.read_or_create_secrets(None)
    directory.secrets.chmod(0o644)
    directory.read_secrets()
    assert _mode(directory.secrets) == 0o600


def test_a_replaced_file_leaves_nothing_beside_it(directory: DataDir) -> None:
    directory.write_admin(AdminCredentials("A", "1"))
    directory.write_admin(AdminCredentials("A", "2"))
    assert directory.read_admin() == AdminCredentials("A", "2")
    assert sorted(path.name for path in directory.path.iterdir()) == ["admin.json", "logs"]


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"business_id": 1, "api_key": "k"}'])
def test_a_broken_admin_file_counts_as_none(directory: DataDir, content: str) -> None:
    directory.admin.write_text(content)
    assert directory.read_admin() is None


def test_a_second_up_is_told_the_pid_of_the_first(directory: DataDir) -> None:
    held = directory.lock()
    with pytest.raises(Failure, match=rf"pid {os.getpid()}\) runs on"):
        directory.lock()
    os.close(held)
    os.close(directory.lock())


def test_the_lock_is_not_inherited(directory: DataDir) -> None:
    held = directory.lock()
    assert not os.get_inheritable(held)
    os.close(held)


def test_a_process_of_an_earlier_run_is_waited_for(directory: DataDir) -> None:
    left = os.open(directory.path / "processes.lock", os.O_RDWR | os.O_CREAT)
    fcntl.flock(left, fcntl.LOCK_EX)
    with pytest.raises(Failure, match="an earlier run"):
        directory.lock_processes(wait_seconds=0.05)
    os.close(left)
    os.close(directory.lock_processes(wait_seconds=0.05))
