"""What a refusal says to the person who reads it."""

from __future__ import annotations

from typing import Any

import pytest

from nearline.client.errors import Refused

TOO_MANY = {"field": "body.k", "hint": "at most 100"}
NOBODY = {"field": "body.customer_id", "hint": "is empty"}


def refused(**problem: Any) -> Refused:
    return Refused("recommendation API", 422, {"title": "Unprocessable Entity", **problem})


def test_a_refusal_names_each_field_and_what_to_do() -> None:
    old = refused(detail="The request does not fit its schema.", errors=[TOO_MANY, NOBODY])

    assert str(old) == (
        "the recommendation API refused the request (HTTP 422): Unprocessable Entity: "
        "The request does not fit its schema; body.k: at most 100; body.customer_id: is empty."
    )
    assert old.errors == (("body.k", "at most 100"), ("body.customer_id", "is empty"))


def test_what_the_detail_says_already_is_not_said_again() -> None:
    told = refused(detail="body.k: at most 100", errors=[TOO_MANY, NOBODY])

    assert str(told).endswith(": body.k: at most 100; body.customer_id: is empty.")


@pytest.mark.parametrize("errors", [None, "k", ["k"], [{}], [{"field": "k"}], {"k": "is 0"}])
def test_errors_of_another_shape_are_passed_over(errors: Any) -> None:
    other = refused(detail="No.", errors=errors)

    assert str(other).endswith("Unprocessable Entity: No.")
    assert other.errors == ()


def test_a_refusal_without_a_word_says_so() -> None:
    assert str(Refused("collector", 403, {})) == (
        "the collector refused the request (HTTP 403): no reason given. Check the write key."
    )
