"""Planting a fault into the reference plane: the test of the agreement test.

Each fault is the replacement of one method. A comparison that does not notice one of them within the number of
scenarios that CI runs would not notice it in the kernel either.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

Method = Callable[..., Any]
Fault = tuple[Any, str, Method]
Faults = dict[str, Fault]
"""By what is wrong: owner, name of the method, the wrong method."""


def register(faults: Faults, owner: Any, method: str) -> Callable[[Method], Method]:
    """Register the decorated function as a wrong `owner.method`; its name says what is wrong."""
    def note(wrong: Method) -> Method:
        faults[wrong.__name__.replace("_", " ")] = owner, method, wrong
        return wrong
    return note


@contextmanager
def planted(fault: Fault) -> Iterator[None]:
    """The reference is wrong in this way inside the block."""
    owner, method, wrong = fault
    with patch.object(owner, method, wrong):
        yield
