"""A policy's `score` or `admit` as numba compiles it: ``self`` is a tuple of the policy's numeric fields."""

from __future__ import annotations

from collections import namedtuple
from collections.abc import Callable
from dataclasses import fields
from typing import Any

from mmesim.core.policy import Policy


class NotCompilable(Exception):
    """numba cannot compile the method; says why, in a line."""


def compiled(policy: Policy, method: str, example: tuple[int, ...]) -> Callable[..., Any]:
    """The compiled method, bound to the policy's numbers. Raises NotCompilable."""
    import numba
    from numba.core.errors import NumbaError

    numbers = {own.name: getattr(policy, own.name) for own in fields(policy)  # type: ignore[arg-type]
               if isinstance(getattr(policy, own.name, None), bool | int | float)}
    names = [f"n{number}" if name.startswith("_") else name for number, name in enumerate(numbers)]
    me = namedtuple("Numbers", names)(*numbers.values())
    function = numba.njit(getattr(type(policy), method))
    try:
        function(me, *example)
    except NumbaError as error:
        raise NotCompilable(_reason(str(error))) from error
    except ArithmeticError:
        pass
    return lambda *arguments: function(me, *arguments)


_TELLING = ("Unknown attribute", "Untyped", "NameError", "No implementation", "Use of unsupported", "Cannot", "Invalid",
            "Unsupported")


def _reason(text: str) -> str:
    """The telling line of a numba message."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    telling = [line for line in lines if line.startswith(_TELLING)]
    return (telling or lines[1:2] or lines or ["no reason given"])[0]
