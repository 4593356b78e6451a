"""From a policy's method to machine code that the kernel can call, if numba can make it.

The very method of the user's class is compiled; `self` becomes a constant record of the policy's numeric dataclass
fields. A method that wants more than that (`self.rng`, a dict, another method) stays Python, and the kernel comes back
to ask. Machine code cannot raise: where the method would, it answers `RAISED`, and the kernel comes back to ask too.
Nor can it be stopped: a method that may loop for ever stays Python.
"""

from __future__ import annotations

import dis
from collections import namedtuple
from collections.abc import Callable
from dataclasses import fields, is_dataclass
from functools import cache
from typing import Any

import numba
import numpy as np
from numba import types

from mmesim.core.answers import yes_or_no
from mmesim.core.choice import Choice, choice
from mmesim.core.policy import AdmissionPolicy, Policy, RoutingPolicy
from mmesim.core.types import NONE
from mmesim.dataplane.handle import held_at
from mmesim.dataplane.jit import inlined
from mmesim.dataplane.routing import RAISED
from mmesim.dataplane.splitmix import draw
from mmesim.dataplane.state import State

Parameters = tuple[tuple[str, type, float], ...]
"""(name, type, value) of each number that the compiled method sees of `self`."""

read = inlined(choice)


def score_code(policy: RoutingPolicy) -> Any:
    """Compiled ``int64 score(address of the state, slot, instance, position, offered, now)``; None: cannot be.

    It reads from the state what the policy looks at, and nothing else: the compiler drops the rest of the `Choice`.
    """
    return _score(type(policy).score, parameters(policy))


def admit_code(policy: AdmissionPolicy) -> Any:
    """Compiled ``int64 admit(model outstanding, endpoint outstanding, ready, serving, now)``; None: cannot be."""
    return _admit(type(policy).admit, parameters(policy))


def score_in_python(policy: RoutingPolicy) -> Callable[..., int]:
    """What stands for `score_code` in the uncompiled kernel."""
    def ask(s: State, slot: int, instance: int, position: int, offered: int, now_ns: int) -> int:
        return policy.score(Choice(*map(int, offer(s, slot, instance, position, offered, now_ns))), int(now_ns))

    return ask


def admit_in_python(policy: AdmissionPolicy) -> Callable[..., bool]:
    """What stands for `admit_code` in the uncompiled kernel."""
    return lambda *arguments: yes_or_no(policy, "admit", policy.admit(*map(int, arguments)))


@inlined
def offer(s: State, slot: int, instance: int, position: int, offered: int, now_ns: int) -> Choice:
    """A copy that is offered for the invocation in a slot."""
    model, serial, seed = s.requests["model"][slot], s.requests["serial"][slot], s.clock["route_seed"][0]
    return read(s.copies, s.models, s.instances, instance * s.clock["n_models"][0] + model, model, instance, position,
                offered, draw(seed, serial, instance), draw(seed, serial, NONE), s.clock["outstanding"][0],
                len(s.serving), now_ns)


def parameters(policy: Policy) -> Parameters:
    """The numeric fields, and a router's `blind` and `spill_outstanding`."""
    names = [field.name for field in fields(policy)] if is_dataclass(policy) else []
    if isinstance(policy, RoutingPolicy):
        names += [name for name in ("blind", "spill_outstanding") if name not in names]
    values = [(name, getattr(policy, name)) for name in names if not name.startswith("_")]
    return tuple((name, type(value), value) for name, value in values if isinstance(value, (bool, int, float)))


@cache
def _score(method: Callable[..., int], numbers: Parameters) -> Any:
    score, me = numba.njit(forceinline=True)(method), _self(numbers)

    def ask(address, slot, instance, position, offered, now_ns):  # type: ignore[no-untyped-def]
        copy = offer(held_at(address), slot, instance, position, offered, now_ns)
        try:
            return score(me, copy, now_ns)
        except Exception:
            return RAISED

    return _compiled(ask, score, 6)


@cache
def _admit(method: Callable[..., int], numbers: Parameters) -> Any:
    admit, me = numba.njit(method), _self(numbers)

    def ask(model_outstanding, endpoint_outstanding, ready, serving, now_ns):  # type: ignore[no-untyped-def]
        try:
            return np.int64(admit(me, model_outstanding, endpoint_outstanding, ready, serving, now_ns))
        except Exception:
            return RAISED

    return _compiled(ask, admit, 5)


def constants(policy: Policy) -> Any:
    """What stands for `self` in the compiled method."""
    return _self(parameters(policy))


def _self(numbers: Parameters) -> Any:
    return namedtuple("parameters", [name for name, _, _ in numbers])(*(value for _, _, value in numbers))


def may_not_end(method: Callable[..., int]) -> bool:
    """Whether it has a `while` loop: a jump backwards to something else than the next item of a `for`."""
    code = list(dis.get_instructions(method))
    items = {one.offset for one in code if one.opname == "FOR_ITER"}
    return any(one.argval < one.offset and one.argval not in items for one in code
               if one.opcode in dis.hasjrel or one.opcode in dis.hasjabs)


def _compiled(ask: Callable[..., int], method: Any, n: int) -> Any:
    """The C function, or None. A method that returns something else than an integer would be cut off: stays Python."""
    if may_not_end(method.py_func):
        return None
    try:
        code = numba.cfunc(types.int64(*[types.int64] * n))(ask)
    except Exception:  # numba answers what it cannot compile with many kinds of errors
        return None
    answers = [result.signature.return_type for result in method.overloads.values()]
    return code if all(isinstance(kind, (types.Integer, types.Boolean)) for kind in answers) else None
