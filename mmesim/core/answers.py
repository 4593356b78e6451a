"""What a policy answered, looked at before it is believed: anything else is told as the policy's mistake.

`bool` is no number here: a comparison returned by mistake would be instance 0 or 1.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TypeVar

import numpy as np

from mmesim.core.policy import Policy, WrongAnswer

Item = TypeVar("Item")


def whole(policy: Policy, method: str, answer: object, possible: str = "an int") -> int:
    """An int. Raises WrongAnswer, which says what is `possible`."""
    if type(answer) is int:
        return answer
    if isinstance(answer, int | np.integer) and not isinstance(answer, bool):
        return int(answer)
    raise _wrong(policy, f"{method} returned", answer, f"it may return {possible}")


def whole_or_none(policy: Policy, method: str, answer: object) -> int | None:
    """An int, or None. Raises WrongAnswer."""
    return None if answer is None else whole(policy, method, answer, "an int or None")


def several(policy: Policy, method: str, answer: object, kind: type[Item]) -> Iterator[Item]:
    """What it yields, one after the other. Raises WrongAnswer."""
    if not isinstance(answer, Iterable):
        raise _wrong(policy, f"{method} returned", answer, f"it may return or yield any number of {kind.__name__}")
    for each in answer:
        if not isinstance(each, kind):
            raise _wrong(policy, f"{method} yielded", each, f"it may yield {kind.__name__} only")
        yield each


def yes_or_no(policy: Policy, method: str, answer: object) -> bool:
    """True or False, or a number in their place, as compiled. Raises WrongAnswer."""
    if isinstance(answer, bool | int | np.bool_ | np.integer):
        return bool(answer)
    raise _wrong(policy, f"{method} returned", answer, "it may return True or False")


def _wrong(policy: Policy, what: str, answer: object, possible: str) -> WrongAnswer:
    return WrongAnswer(f"{type(policy).__name__}.{what} {answer!r} ({type(answer).__name__}); {possible}")
