"""Is the kernel compiled already, and compiling it with a word to who waits.

The kernel is compiled once for an installation (see :mod:`mmesim.dataplane.jit`): about 20 s that a first run would
otherwise spend in silence. numba is imported by the functions only, so that asking costs nothing elsewhere.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path


def is_compiled() -> bool:
    """False when the next run would have to compile the kernel first."""
    from mmesim.dataplane.jit import COMPILED, cache_folder

    return not COMPILED or any(cache_folder().rglob("kernel.step-*.nbc"))


def cache_dir() -> Path:
    """Where the machine code is kept."""
    from mmesim.dataplane.jit import cache_folder

    return cache_folder()


def warm_up(notify: Callable[[str], None]) -> None:
    """Compile the kernel if that is still to be done; `notify` is told before."""
    if is_compiled():
        return
    notify("compiling the kernel once (about 20 s) ...")
    from mmesim.core.residency import ResidencyTable
    from mmesim.dataplane.api import PlaneSpec
    from mmesim.dataplane.plane import KernelPlane
    from mmesim.policies.admission.always import Always
    from mmesim.policies.routing.random import Random

    KernelPlane(PlaneSpec((), 1 << 16), ResidencyTable(0, 1), Random(), Always()).advance(1)
