"""Random numbers by counter: the compiled twin of :func:`mmesim.dataplane.api.draw`.

Arithmetic modulo 2^64 wants ``uint64`` throughout; uncompiled, the caller silences NumPy's overflow warnings.
"""

from __future__ import annotations

import numpy as np

from mmesim.dataplane.jit import inlined

_SERIAL = np.uint64(0x9E3779B97F4A7C15)
_WHICH = np.uint64(0xD1B54A32D192ED03)
_MIX_1 = np.uint64(0xBF58476D1CE4E5B9)
_MIX_2 = np.uint64(0x94D049BB133111EB)
_30, _27, _31, _2 = np.uint64(30), np.uint64(27), np.uint64(31), np.uint64(2)


@inlined
def draw(seed: np.uint64, serial: int, which: int) -> int:
    """A random number in [0, 2^62)."""
    z = seed + np.uint64(serial + 1) * _SERIAL + np.uint64(which + 1) * _WHICH
    z = (z ^ (z >> _30)) * _MIX_1
    z = (z ^ (z >> _27)) * _MIX_2
    return np.int64((z ^ (z >> _31)) >> _2)
