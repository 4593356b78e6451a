"""From a policy's method to machine code that the kernel can call, if numba can make it.

The very method of the user's class is compiled; `self` becomes a constant record of the policy's numeric dataclass
fields. A method that wants more than that (`self.rng`, a dict, another method) stays Python, and the kernel comes back
to ask.
"""

from __future__ import annotations

from collections import namedtuple
from collections.abc import Callable
from dataclasses import fields, is_dataclass
from functools import cache
from typing import Any

import numba
from numba import types

from mmesim.core.policy import AdmissionPolicy, Policy, RoutingPolicy

Parameters = tuple[tuple[str, type, float], ...]
"""(name, type, value) of each number that the compiled method sees of `self`."""


def score_code(policy: RoutingPolicy) -> Any:
    """Compiled ``int64 score(outstanding, instance outstanding, last use, uses, draw, now)``; None: cannot be."""
    return _score(type(policy).score, parameters(policy))


def admit_code(policy: AdmissionPolicy) -> Any:
    """Compiled ``int64 admit(model outstanding, endpoint outstanding, ready, serving, now)``; None: cannot be."""
    return _admit(type(policy).admit, parameters(policy))


def parameters(policy: Policy) -> Parameters:
    """The numeric fields, and a router's `blind` and `spill_outstanding`."""
    names = [field.name for field in fields(policy)] if is_dataclass(policy) else []
    if isinstance(policy, RoutingPolicy):
        names += [name for name in ("blind", "spill_outstanding") if name not in names]
    values = [(name, getattr(policy, name)) for name in names if not name.startswith("_")]
    return tuple((name, type(value), value) for name, value in values if isinstance(value, (bool, int, float)))


@cache
def _score(method: Callable[..., int], numbers: Parameters) -> Any:
    score, me = numba.njit(method), _self(numbers)

    def ask(outstanding, instance_outstanding, last_use_ns, uses, draw, now_ns):  # type: ignore[no-untyped-def]
        return score(me, outstanding, instance_outstanding, last_use_ns, uses, draw, now_ns)

    return _compiled(ask, score, 6)


@cache
def _admit(method: Callable[..., int], numbers: Parameters) -> Any:
    admit, me = numba.njit(method), _self(numbers)

    def ask(model_outstanding, endpoint_outstanding, ready, serving, now_ns):  # type: ignore[no-untyped-def]
        return admit(me, model_outstanding, endpoint_outstanding, ready, serving, now_ns)

    return _compiled(ask, admit, 5)


def _self(numbers: Parameters) -> Any:
    """What stands for `self`: a constant."""
    return namedtuple("parameters", [name for name, _, _ in numbers])(*(value for _, _, value in numbers))


def _compiled(ask: Callable[..., int], method: Any, n: int) -> Any:
    """The C function, or None. A method that returns something else than an integer would be cut off: stays Python."""
    try:
        code = numba.cfunc(types.int64(*[types.int64] * n))(ask)
    except Exception:  # numba answers what it cannot compile with many kinds of errors
        return None
    answers = [result.signature.return_type for result in method.overloads.values()]
    return code if all(isinstance(kind, (types.Integer, types.Boolean)) for kind in answers) else None
