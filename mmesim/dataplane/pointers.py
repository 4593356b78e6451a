"""Calling a policy from the kernel through the address of its machine code.

The kernel is compiled once for all policies: it gets an address, not a function. Uncompiled, the "address" is the
Python function itself. What is there is made by :mod:`mmesim.dataplane.policy`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from mmesim.dataplane.jit import COMPILED

if COMPILED:
    from llvmlite import ir
    from numba import types
    from numba.extending import intrinsic

    @intrinsic
    def call(_context: Any, address: Any, *arguments: Any) -> Any:
        """Call the C function ``int64 f(int64, ...)`` at an address."""
        signature = types.int64(address, types.StarArgTuple.from_types(arguments))

        def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
            word = ir.IntType(64)
            given = [context.cast(builder, value, kind, types.int64) for value, kind in zip(
                [builder.extract_value(values[1], k) for k in range(len(arguments))], arguments, strict=True)]
            pointer = builder.inttoptr(values[0], ir.FunctionType(word, [word] * len(given)).as_pointer())
            return builder.call(pointer, given)

        return signature, generate
else:
    def call(function: Callable[..., int], *arguments: Any) -> int:
        """Call what stands for a policy."""
        return function(*arguments)
