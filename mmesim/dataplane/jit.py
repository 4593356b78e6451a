"""How the kernel's functions are compiled, and where the machine code is kept.

Every module of the kernel decorates its functions with :func:`kernel`; the one entry point with :func:`entry`, which is
also the only one kept on disk (the others are inside it). numba watches the source file of a cached function only, so
the folder's name carries a hash of *all* sources that end up in the machine code: a change in a helper, or another
numba, NumPy, Python or processor, is another folder. ``NUMBA_DISABLE_JIT=1`` leaves plain Python functions.
"""

from __future__ import annotations

import os
import platform
import sys
import tempfile
from collections.abc import Callable
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any, TypeVar

import llvmlite.binding
import numba
import numpy as np

F = TypeVar("F", bound=Callable[..., Any])

COMPILED = not numba.config.DISABLE_JIT
"""False: the kernel runs as plain Python."""

HERE = Path(__file__).parent
SOURCES = [*sorted(set(HERE.glob("*.py")) - {HERE / f"{name}.py" for name in ("plane", "check", "policy", "compiled")}),
           HERE.parent / "core" / "residency.py", HERE.parent / "core" / "types.py"]
"""What the machine code is made from."""


def _options() -> dict[str, Any]:
    """Options of every kernel function.

    `_nrt` is private: without it numba counts references around every helper, which costs a third of the speed; a numba
    that does not know it any more is asked without it.
    """
    wanted: dict[str, Any] = {"error_model": "numpy", "_nrt": False}
    try:
        numba.njit(**wanted)(lambda: 0)
    except KeyError:
        del wanted["_nrt"]
    return wanted


OPTIONS = _options()


def kernel(function: F) -> F:
    """A function of the kernel, called by others of the kernel."""
    return numba.njit(no_cpython_wrapper=True, no_cfunc_wrapper=True, **OPTIONS)(function)


def inlined(function: F) -> F:
    """A function of the kernel that is small or has one hot caller: always merged into it."""
    return numba.njit(forceinline=True, **OPTIONS)(function)


def entry(function: F) -> F:
    """The function that Python calls; its machine code is kept in `cache_folder`."""
    before = numba.config.CACHE_DIR
    numba.config.CACHE_DIR = str(cache_folder())  # read while the function is being decorated, by this thread
    try:
        return numba.njit(cache=True, **OPTIONS)(function)
    finally:
        numba.config.CACHE_DIR = before


@cache
def cache_folder() -> Path:
    """Folder of this kernel's machine code: below ``$XDG_CACHE_HOME`` or ``~/.cache``, or a temporary one."""
    digest = sha256(b"".join(path.read_bytes() for path in SOURCES))
    file = HERE / "kernel.py"  # numba keeps the code by its place and time
    digest.update(repr((numba.__version__, np.__version__, sys.version, platform.machine(), numba.config.BOUNDSCHECK,
                        llvmlite.binding.get_host_cpu_name(), file, file.stat().st_mtime_ns)).encode())
    name = f"kernel-{digest.hexdigest()[:16]}"
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "mmesim" / name
    try:
        home.mkdir(parents=True, exist_ok=True)
        if os.access(home, os.W_OK):
            return home
    except OSError:
        pass
    own = Path(tempfile.gettempdir()) / f"mmesim-{os.getuid()}"
    own.mkdir(mode=0o700, exist_ok=True)
    if own.stat().st_uid != os.getuid():  # machine code of somebody else is not to be run
        own = Path(tempfile.mkdtemp(prefix="mmesim-"))
    return own / name
