"""From a policy's method to machine code that the kernel can call, if numba can make it.

The very method of the user's class is compiled; `self` becomes a constant record of the policy's numeric dataclass
fields. A method that wants more than that (`self.rng`, a dict, another method) stays Python, and the kernel comes back
to ask.
"""

from __future__ import annotations

from collections import namedtuple
from collections.abc import Callable
from dataclasses import fields, is_dataclass
from typing import Any

import numba
from numba import types

from mmesim.core.policy import AdmissionPolicy, Policy, RoutingPolicy


def parameters(policy: Policy) -> tuple[float, ...]:
    """What the compiled method sees as `self`: the numeric fields, and a router's `blind` and `spill_outstanding`."""
    names = [field.name for field in fields(policy)] if is_dataclass(policy) else []
    if isinstance(policy, RoutingPolicy):
        names += [name for name in ("blind", "spill_outstanding") if name not in names]
    values = {name: getattr(policy, name) for name in names if not name.startswith("_")}
    numbers = {name: value for name, value in values.items() if isinstance(value, (bool, int, float))}
    return namedtuple("parameters", numbers)(**numbers)


def score_code(policy: RoutingPolicy) -> Any:
    """Compiled ``int64 score(outstanding, instance outstanding, last use, uses, draw, now)``; None: cannot be."""
    score, me = numba.njit(type(policy).score), parameters(policy)

    def ask(outstanding, instance_outstanding, last_use_ns, uses, draw, now_ns):
        return score(me, outstanding, instance_outstanding, last_use_ns, uses, draw, now_ns)

    return _compiled(ask, score, 6)


def admit_code(policy: AdmissionPolicy) -> Any:
    """Compiled ``int64 admit(model outstanding, endpoint outstanding, ready, serving, now)``; None: cannot be."""
    admit, me = numba.njit(type(policy).admit), parameters(policy)

    def ask(model_outstanding, endpoint_outstanding, ready, serving, now_ns):
        return admit(me, model_outstanding, endpoint_outstanding, ready, serving, now_ns)

    return _compiled(ask, admit, 5)


def _compiled(ask: Callable[..., int], method: Any, n: int) -> Any:
    """The C function, or None. A method that returns something else than an integer would be cut off: stays Python."""
    try:
        code = numba.cfunc(types.int64(*[types.int64] * n))(ask)
    except Exception:  # numba answers what it cannot compile with many kinds of errors
        return None
    answers = [result.signature.return_type for result in method.overloads.values()]
    return code if all(isinstance(kind, (types.Integer, types.Boolean)) for kind in answers) else None
