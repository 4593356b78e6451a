"""The bracket finds the smallest size that meets, whatever the guess, and looks at few sizes."""

from math import log2

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmesim.planner.plan.bracket import Bracket


def sought(truth: int, low: int, most: int, guess: int) -> tuple[int | None, list[int]]:
    """The size it ends with, and the sizes it looked at; sizes from `truth` on meet."""
    bracket, looked = Bracket(low, guess), []
    while (n := bracket.next(most)) is not None:
        looked.append(n)
        (bracket.met if n >= truth else bracket.missed)(n)
    return bracket.high, looked


@given(st.integers(1, 60), st.integers(1, 60), st.integers(0, 80), st.integers(-5, 90))
def test_it_ends_with_the_smallest_that_meets(truth: int, low: int, span: int, guess: int) -> None:
    truth, most = max(truth, low), low + span
    high, looked = sought(truth, low, most, guess)
    assert high == (truth if truth <= most else None)
    assert len(looked) == len(set(looked)) and all(low <= n <= most for n in looked)


@given(st.integers(1, 400), st.integers(1, 400))
def test_a_good_guess_is_cheap(truth: int, guess: int) -> None:
    _, looked = sought(truth, 1, 400, guess)
    distance = abs(truth - guess)
    assert len(looked) <= 3 + 2 * log2(distance + 1)


@pytest.mark.parametrize(("guess", "expected"), [(5, [5, 4]), (4, [4, 5]), (1, [1, 2, 4, 8, 6, 5])])
def test_how_it_goes(guess: int, expected: list[int]) -> None:
    assert sought(5, 1, 20, guess)[1] == expected


def test_a_size_that_was_taken_to_meet_and_does_not() -> None:
    bracket = Bracket(1, 5)
    bracket.met(5)
    bracket.missed(4)
    assert bracket.next(20) is None and bracket.high == 5
    bracket.missed(5)
    assert bracket.high is None and bracket.next(20) == 6


def test_fewer_may_be_looked_at_than_before() -> None:
    bracket = Bracket(1, 8)
    bracket.met(8)
    assert bracket.next(6) == 6
    assert bracket.next(0) is None
