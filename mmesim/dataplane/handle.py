"""How compiled code holds the state: one pointer, not thirty arrays.

The kernel's functions all take the :class:`mmesim.dataplane.state.State`. As a tuple of arrays it would be handed from
function to function by value, some two hundred words each time, and dearly compiled. So the compiled kernel gets the
address of a list of words, for each array its data pointer and its shape, and ``state.requests`` reads three of them;
element sizes are constants. The words do not change while the kernel runs, and the compiler is told so. Uncompiled, the
state is the tuple itself; the source is the same.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
from llvmlite import ir
from numba import types
from numba.core.typing.templates import AttributeTemplate
from numba.extending import infer_getattr, intrinsic, lower_getattr_generic, models, register_model
from numba.np.arrayobj import make_array, populate_array
from numpy.typing import NDArray

from mmesim.dataplane.jit import COMPILED
from mmesim.dataplane.state import State, layout


class StateType(types.Type):
    """The compiled kernel's type of a state."""

    def __init__(self) -> None:
        super().__init__("mmesim.State")


STATE = StateType()
register_model(StateType)(models.OpaqueModel)

WITH_LENGTH = ("serving",)
"""Arrays that the kernel may ask for their `len`. That of the others is left undefined: the kernel has no negative
indices, and so the compiler need not provide for them at each access, which takes a fifth of the time."""

_ARRAYS: dict[str, tuple[int, Any]] = {}
"""By field: its first word and its type."""
_LAYOUT = layout()
_words = 0
for _name, (_dtype, _ndim) in _LAYOUT.items():
    _ARRAYS[_name] = (_words, types.Array(numba.from_dtype(_dtype), _ndim, "C"))
    _words += 1 + _ndim


def words(state: State) -> NDArray[np.int64]:
    """The list of words of a state; valid as long as the state is kept alive."""
    found: list[int] = []
    for name, array in state._asdict().items():
        assert array.flags.c_contiguous and (array.dtype, array.ndim) == _LAYOUT[name], name
        found += [array.ctypes.data, *array.shape]
    return np.array(found, np.int64)


@infer_getattr
class _Attributes(AttributeTemplate):
    key = StateType

    def generic_resolve(self, _type: Any, name: str) -> Any:
        return _ARRAYS[name][1] if name in _ARRAYS else None


@lower_getattr_generic(StateType)
def _attribute(context: Any, builder: Any, _type: Any, value: Any, name: str) -> Any:
    """Make an array from its words."""
    first, kind = _ARRAYS[name]
    word = ir.IntType(64)
    base = builder.bitcast(value, word.as_pointer())
    loaded = []
    for k in range(first, first + 1 + kind.ndim):
        load = builder.load(builder.gep(base, [ir.Constant(word, k)]))
        load.set_metadata("invariant.load", builder.module.add_metadata([]))
        loaded.append(load)
    if name not in WITH_LENGTH and not numba.config.BOUNDSCHECK:
        loaded[1] = ir.Constant(word, ir.Undefined)
    size = context.get_abi_sizeof(context.get_data_type(kind.dtype))
    strides = [ir.Constant(word, size)]
    for extent in reversed(loaded[2:]):
        strides.insert(0, builder.mul(strides[0], extent))
    array = make_array(kind)(context, builder)
    populate_array(array, data=builder.inttoptr(loaded[0], array.data.type), shape=loaded[1:], strides=strides,
                   itemsize=ir.Constant(word, size), meminfo=None)
    return array._getvalue()


if COMPILED:
    @intrinsic
    def held(_context: Any, words: Any) -> Any:
        """The state that a list of words stands for."""
        def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
            array = make_array(signature.args[0])(context, builder, values[0])
            return builder.bitcast(array.data, context.get_value_type(STATE))

        return STATE(words), generate

    @intrinsic
    def address_of(_context: Any, state: Any) -> Any:
        """The address behind a state, to be handed to a policy's machine code."""
        def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
            return builder.ptrtoint(values[0], ir.IntType(64))

        return types.int64(state), generate

    @intrinsic
    def held_at(_context: Any, address: Any) -> Any:
        """The state at an address."""
        def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
            return builder.inttoptr(values[0], context.get_value_type(STATE))

        return STATE(address), generate
else:
    def held(words: State) -> State:
        """Uncompiled, the kernel is given the state itself."""
        return words

    address_of = held_at = held
