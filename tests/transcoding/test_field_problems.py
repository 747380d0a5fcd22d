"""Collecting, sending and merging field problems."""

import pytest

from rpc.error_details import MAX_SENT_BYTES, FieldProblem, printable
from transcoding.field_problems import (
    FieldProblems,
    did_you_mean,
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
def test_consequences_of_an_invalid_field_are_not_repeated(
    mistyped: str, from_core: str, kept: bool
) -> None:
    joined = problems_with_mistyped(mistyped).merged_with([FieldProblem(from_core, "is required")])
    assert (FieldProblem(from_core, "is required") in joined) is kept


def test_an_unknown_field_hides_no_problem_of_the_core() -> None:
    problems = FieldProblems()
    problems.add_unknown("", "user.name", ["user"])
    required = FieldProblem("user.name", "is required")
    assert problems.merged_with([*problems.found, required]) == [*problems.found, required]


def test_own_problems_come_first_of_at_most_twenty() -> None:
    problems = problems_with_mistyped("a", "b")
    joined = problems.merged_with([FieldProblem(f"c{n}", "is required") for n in range(30)])
    assert [problem.field for problem in joined[:3]] == ["a", "b", "c0"]
    assert len(joined) == 20


def test_the_twenty_first_problem_is_not_kept() -> None:
    assert len(problems_with_mistyped(*[f"f{n}" for n in range(21)]).found) == 20


def test_a_malformed_value_has_its_own_description() -> None:
    problems = FieldProblems()
    problems.add_invalid("a", MalformedValue("is given more than once"), "must be a string")
    assert problems.found == [FieldProblem("a", "is given more than once")]


def test_sent_problems_have_a_size_limit() -> None:
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
def test_unprintable_characters_of_a_name_are_replaced(name: str, shown: str) -> None:
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
def test_a_similar_name_is_suggested(name: str, hint: str) -> None:
    assert did_you_mean(name, ["user_id", "env"]) == hint
