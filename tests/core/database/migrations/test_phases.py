"""Every revision says its phase, and one that expands leaves the previous version working.

Shown by the statements for PostgreSQL. What they cannot show: a CHECK on new columns together with
old ones, and what an older core does with rows that a newer one writes.
"""

import io
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import sqlalchemy as sa
from alembic import op
from alembic.migration import MigrationContext
from alembic.operations import Operations
from alembic.script import Script, ScriptDirectory

from core.database.migrations import upgrade

REVISIONS = list(ScriptDirectory.from_config(upgrade._config()).walk_revisions())[::-1]
FIRST_KEPT = "0031_erase"
"""After it, a busy table is not locked while its rows are checked or an index is built."""
BUSY = ("payments", "wallet_transactions", "postings", "idempotency_records", "webhook_events")
_PHASE = re.compile(r"^Phase: (expand|contract)\.$", re.MULTILINE)
_NAME = r'"?(\w+)"?'
_FORBIDDEN = (
    (r"^DROP TABLE", "drops a table"),
    (r"^ALTER TABLE .* DROP COLUMN", "drops a column"),
    (r"^ALTER TABLE .* RENAME", "renames"),
    (r"^ALTER TABLE .* ALTER COLUMN .* (SET NOT NULL|TYPE)", "changes a column"),
    (r"^ALTER TABLE .* ADD COLUMN (?!.*DEFAULT).*NOT NULL", "adds a column that writers lack"),
    (r"^ALTER TABLE .* ADD CONSTRAINT .* FOREIGN KEY", "adds a foreign key"),
)
Words = dict[str, set[str]]


def statements(run: Callable[[], None]) -> list[str]:
    """Return the statements of a revision for PostgreSQL, each in one line."""
    written = io.StringIO()
    options = {"as_sql": True, "output_buffer": written}
    with Operations.context(MigrationContext.configure(dialect_name="postgresql", opts=options)):
        run()
    return [" ".join(each.split()) for each in written.getvalue().split(";")]


def phase_of(revision: Script) -> str:
    found = _PHASE.findall(revision.module.__doc__ or "")
    assert len(found) == 1, f"{revision.revision} says neither `Phase: expand.` nor `…contract.`"
    return str(found[0])


def breaks(lines: list[str], words: Words) -> Iterator[str]:
    """Yield what stops the previous version's cores from writing or reading.

    `words` are those that each CHECK admitted before; it is brought up to date.
    """
    created = set(re.findall(rf"^CREATE TABLE {_NAME}", "\n".join(lines), re.MULTILINE))
    added = set(re.findall(rf"ADD COLUMN {_NAME}", "\n".join(lines)))
    for line in lines:
        yield from (f"{why}: {line}" for what, why in _FORBIDDEN if re.search(what, line))
        check = re.match(rf"ALTER TABLE {_NAME} ADD CONSTRAINT {_NAME} CHECK (.*)", line)
        unique = re.match(rf"ALTER TABLE {_NAME} ADD CONSTRAINT {_NAME} UNIQUE (.*)", line)
        unique = unique or re.match(rf"CREATE UNIQUE INDEX {_NAME} ON {_NAME} (.*)", line)
        if check and not added & set(re.findall(r"\w+", check[3])):
            before = words.get(check[2])
            if before is None or not before <= _words(check[3]):
                yield f"adds or narrows a CHECK on what writers write: {line}"
        if unique and not (added | created) & set(re.findall(r"\w+", line)):
            yield f"adds uniqueness to what writers write: {line}"
    constraints = (each.split(" CHECK ", 1) for each in re.split("CONSTRAINT ", "\n".join(lines)))
    words.update((each[0], _words(each[1])) for each in constraints if len(each) == 2)


def _words(condition: str) -> set[str]:
    return set(re.findall(r"'(\w+)'", condition))


def test_no_revision_that_expands_breaks_the_previous_version() -> None:
    words: Words = {}
    for revision in REVISIONS:
        found = list(breaks(statements(revision.module.upgrade), words))
        if phase_of(revision) == "expand":
            assert found == [], f"{revision.revision}: does it contract?"


def test_a_check_of_a_busy_table_is_validated_after_its_lock() -> None:
    kept = [revision.revision for revision in REVISIONS].index(FIRST_KEPT)
    for revision in REVISIONS[kept + 1 :]:
        for line in statements(revision.module.upgrade):
            added = re.match(rf"ALTER TABLE {_NAME} ADD CONSTRAINT .* CHECK ", line)
            if added and added[1] in BUSY:
                assert line.endswith("NOT VALID"), f"add postgresql_not_valid=True: {line}"


def test_an_index_of_a_busy_table_is_built_after_the_transaction() -> None:
    kept = [revision.revision for revision in REVISIONS].index(FIRST_KEPT)
    for revision in REVISIONS[kept + 1 :]:
        lines = statements(revision.module.upgrade)
        added = {
            name for line in lines for name in re.findall(r"^CREATE.* INDEX .* ON (\w+)", line)
        }
        assert added.isdisjoint(BUSY), f"{revision.revision}: create the index on SQLite only"


def add(constraint: str, condition: str) -> Callable[[], None]:
    return lambda: op.create_check_constraint(constraint, "users", sa.text(condition))


def column(**options: Any) -> Callable[[], None]:
    return lambda: op.add_column("users", sa.Column("nick", sa.Text(), **options))


@pytest.mark.parametrize(
    ("change", "is_refused"),
    [
        (lambda: op.drop_table("users"), True),
        (lambda: op.drop_column("users", "name"), True),
        (lambda: op.alter_column("users", "name", new_column_name="nick"), True),
        (lambda: op.alter_column("users", "name", nullable=False), True),
        (lambda: op.alter_column("users", "name", type_=sa.Text()), True),
        (lambda: op.create_unique_constraint("u", "users", ["email"]), True),
        (lambda: op.create_index("u", "users", ["email"], unique=True), True),
        (lambda: op.create_index("u", "users", ["email"]), False),
        (lambda: op.create_foreign_key("f", "users", "businesses", ["a"], ["a"]), True),
        (column(nullable=False), True),
        (column(nullable=False, server_default="x"), False),
        (column(nullable=True), False),
        (add("c", "name <> ''"), True),
        (add("known", "state IN ('open')"), True),
        (add("known", "state IN ('open', 'closed', 'new')"), False),
    ],
)
def test_what_breaks_the_previous_version_is_found(
    change: Callable[[], None], is_refused: bool
) -> None:
    words = {"known": {"open", "closed"}}
    assert bool(list(breaks(statements(change), words))) == is_refused


def test_a_check_of_a_column_that_the_revision_adds_is_no_break() -> None:
    def change() -> None:
        column(nullable=True)()
        add("c", "nick <> ''")()

    assert list(breaks(statements(change), {})) == []
