"""A policy's `score` or `admit` as the kernel calls it, and why not, when numba cannot compile it."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from mmesim.core.policy import Policy, RoutingPolicy

_TELLING = ("Unknown attribute", "Untyped", "NameError", "No implementation", "Use of unsupported", "Cannot", "Invalid",
            "Unsupported")
"""How the line begins that says what numba did not like."""


class NotCompilable(Exception):
    """numba cannot compile the method; says why, in a line."""


def compiled(policy: Policy, example: tuple[Any, ...]) -> Callable[..., int]:
    """The method as machine code, to be called like the method. Raises NotCompilable."""
    import numba

    from mmesim.dataplane import policy as kernel

    is_router, me = isinstance(policy, RoutingPolicy), kernel.constants(policy)
    method = "score" if is_router else "admit"
    code: Any = kernel.score_code(policy) if is_router else kernel.admit_code(policy)  # type: ignore[arg-type]
    if code is None:
        raise NotCompilable(_why(type(policy), method, me, example))
    return partial(numba.njit(getattr(type(policy), method)), me)


def _why(cls: type[Policy], method: str, me: Any, example: tuple[Any, ...]) -> str:
    """The telling line of numba's message."""
    import numba

    from mmesim.dataplane.policy import may_not_end

    if may_not_end(getattr(cls, method)):
        return "it has a while loop, and machine code that does not end cannot be stopped; write for … in range(…)"
    try:
        numba.njit(getattr(cls, method))(me, *example)
    except Exception as error:
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        return ([line for line in lines if line.startswith(_TELLING)] or lines or [type(error).__name__])[0]
    return "it does not return an integer"
