"""Proves how problems are collected, sent and joined with the core's."""

import pytest

from rpc.error_details import FieldProblem
from transcoding.field_problems import (
    MAX_SENT_BYTES,
    FieldProblems,
    did_you_mean,
    printable,
)
from transcoding.parsing import MalformedValue


def problems_with_mistyped(*fields: str) -> FieldProblems:
    problems = FieldProblems()
    for field in fields:
        problems.add_invalid(field, 5, "must be a string")
    return problems


@pytest.mark.parametrize(
    ("mistyped", "from_core", "kept"),
    [
        ("amount", "amount", False),
        ("user", "user.name", False),
        ("items", "items[0]", False),
        ("items[0]", "items[0].name", False),
        ("updates.name", "updates", False),
        ("user", "user_id", True),
        ("items[1]", "items[0]", True),
        ("amount", "currency", True),
    ],
)
def test_what_follows_from_a_mistyped_field_is_not_told_again(
    mistyped: str, from_core: str, kept: bool
) -> None:
    joined = problems_with_mistyped(mistyped).merged_with([FieldProblem(from_core, "is required")])
    assert (FieldProblem(from_core, "is required") in joined) is kept


def test_an_unknown_field_hides_nothing_that_the_core_says() -> None:
    problems = FieldProblems()
    problems.add_unknown("", "user.name", ["user"])
    required = FieldProblem("user.name", "is required")
    assert problems.merged_with([*problems.found, required]) == [*problems.found, required]


def test_own_problems_come_first_and_twenty_in_all() -> None:
    problems = problems_with_mistyped("a", "b")
    joined = problems.merged_with([FieldProblem(f"c{n}", "is required") for n in range(30)])
    assert [problem.field for problem in joined[:3]] == ["a", "b", "c0"]
    assert len(joined) == 20


def test_the_twenty_first_problem_is_not_kept() -> None:
    assert len(problems_with_mistyped(*[f"f{n}" for n in range(21)]).found) == 20


def test_an_ill_value_describes_itself() -> None:
    problems = FieldProblems()
    problems.add_invalid("a", MalformedValue("is given more than once"), "must be a string")
    assert problems.found == [FieldProblem("a", "is given more than once")]


def test_what_is_sent_is_bounded_in_bytes() -> None:
    problems = FieldProblems()
    for n in range(20):
        problems.add_unknown("", f"{n:02d}" + "\U0001f600" * 62, [])
    sent = problems.to_send()
    assert 0 < len(sent) < 20
    assert sum(len(problem.field.encode()) for problem in sent) < MAX_SENT_BYTES


def test_one_problem_is_sent_however_large() -> None:
    problems = problems_with_mistyped("x" * 5000)
    assert problems.to_send() == problems.found


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("name", "name"),
        ("na\x00me", "na?me"),
        ("na\ud800me", "na?me"),
        ("\u202ename", "?name"),
        ("naïve", "naïve"),
        ("x" * 100, "x" * 64),
    ],
)
def test_a_name_is_shown_without_what_could_harm(name: str, shown: str) -> None:
    assert printable(name) == shown


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("user_ID", "; did you mean `user_id`?"),
        ("usr_id", "; did you mean `user_id`?"),
        ("amount", ""),
        ("", ""),
    ],
)
def test_a_close_name_is_suggested(name: str, hint: str) -> None:
    assert did_you_mean(name, ["user_id", "env"]) == hint
