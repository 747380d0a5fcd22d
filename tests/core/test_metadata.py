"""Metadata as stored: the same text for the same pairs, and a digest for each."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import InvalidFields
from core.metadata import (
    Kind,
    digest_of,
    digests_of,
    listed_digest,
    metadata_of,
    stored_metadata,
)

PAIRS = st.dictionaries(st.text(min_size=1, max_size=5), st.text(min_size=1), max_size=5)


@given(PAIRS, st.randoms(use_true_random=False))
def test_equal_pairs_are_one_text_in_whatever_order_they_came(
    pairs: dict[str, str], random: object
) -> None:
    items = list(pairs.items())
    random.shuffle(items)  # type: ignore[attr-defined] # hypothesis has no type for it
    stored = stored_metadata(dict(items))
    assert stored == stored_metadata(pairs)
    assert metadata_of(stored) == pairs
    assert (stored is None) == (not pairs)
    assert len(set(digests_of(Kind.USER, None, stored))) == len(pairs)


@given(PAIRS, PAIRS)
def test_other_pairs_are_another_text(one: dict[str, str], other: dict[str, str]) -> None:
    assert (stored_metadata(one) == stored_metadata(other)) == (one == other)


def test_a_digest_is_of_kind_environment_key_and_value() -> None:
    of = [
        (Kind.PAYMENT, "TEST", "a", "bc"),
        (Kind.REFUND, "TEST", "a", "bc"),
        (Kind.PAYMENT, "LIVE", "a", "bc"),
        (Kind.PAYMENT, None, "a", "bc"),
        (Kind.PAYMENT, "TEST", "ab", "c"),
        (Kind.PAYMENT, "TEST", "bc", "a"),
    ]
    assert len({digest_of(*each) for each in of}) == len(of)
    # Rows in databases have it, so it never changes.
    assert digest_of(*of[0]) == "5fcaadcb5686e3d26ed810cc6579e454"


def test_what_a_list_asks_for_is_what_a_resource_has() -> None:
    stored = stored_metadata({"order_id": "6735", "tier": "gold"})
    wanted = listed_digest(Kind.PAYMENT, "TEST", {"tier": "gold"}, user_id="", status=0)
    assert wanted in digests_of(Kind.PAYMENT, "TEST", stored)
    assert listed_digest(Kind.PAYMENT, "TEST", {}, user_id="USR-1") is None


def test_a_list_by_a_pair_has_no_other_filter() -> None:
    with pytest.raises(InvalidFields) as refused:
        listed_digest(Kind.PAYMENT, "TEST", {"a": "b"}, user_id="", status=2)
    (problem,) = refused.value.problems
    assert (problem.field, problem.description) == (
        "metadata",
        "must not be given together with status",
    )


def test_keys_of_ours_are_refused_each_by_its_path() -> None:
    with pytest.raises(InvalidFields) as refused:
        stored_metadata({"nivisco_payment_id": "PAY-1", "order": "1", "nivisco_": "x"}, "user.m")
    assert [problem.field for problem in refused.value.problems] == [
        "user.m.nivisco_",
        "user.m.nivisco_payment_id",
    ]
    stored = stored_metadata({"Nivisco_x": "1", "payment_id": "mine"})
    assert json.loads(stored or "") == {"Nivisco_x": "1", "payment_id": "mine"}
