"""An alarm that an event loop hears when it is due, to some ten microseconds.

The timers of asyncio and uvloop are good to a millisecond: a request sent that late is a request measured wrongly. On
Linux a timer of the kernel (timerfd_create(2), monotonic clock, absolute times) wakes the loop as a socket does;
elsewhere the loop's own timer has to do, and the lag that is recorded with each request tells.
"""

from __future__ import annotations

import asyncio
import ctypes
import os
import sys
import time
from collections.abc import Callable

from mmesim.units import NS_PER_S

_CLOCK_MONOTONIC, _NONBLOCK_CLOEXEC, _ABSOLUTE = 1, 0o2004000, 1
"""From <linux/timerfd.h> and <fcntl.h>."""


class _Setting(ctypes.Structure):
    """struct itimerspec: interval and first expiry, seconds and nanoseconds each."""

    _fields_ = (("interval_s", ctypes.c_long), ("interval_ns", ctypes.c_long),
                ("value_s", ctypes.c_long), ("value_ns", ctypes.c_long))


class Alarm:
    """Calls `ring` at or shortly after the time it was last set to; set anew, the former time is forgotten."""

    def __init__(self, ring: Callable[[], None]) -> None:
        self._loop = asyncio.get_running_loop()
        self._ring = ring
        self._timer: asyncio.TimerHandle | None = None
        self._file = -1
        if sys.platform == "linux":
            self._libc = ctypes.CDLL(None, use_errno=True)
            self._file = self._libc.timerfd_create(_CLOCK_MONOTONIC, _NONBLOCK_CLOEXEC)
        if self._file >= 0:
            self._loop.add_reader(self._file, self._heard)

    def set(self, at_ns: int) -> None:
        """Ring at `at_ns` of time.monotonic_ns()."""
        if self._file < 0:
            if self._timer:
                self._timer.cancel()
            self._timer = self._loop.call_later(max(0, at_ns - time.monotonic_ns()) / NS_PER_S, self._ring)
            return
        setting = _Setting(0, 0, *divmod(max(1, at_ns), NS_PER_S))
        failed = self._libc.timerfd_settime(self._file, _ABSOLUTE, ctypes.byref(setting), None)
        assert not failed, os.strerror(ctypes.get_errno())

    def _heard(self) -> None:
        try:
            os.read(self._file, 8)
        except BlockingIOError:  # set anew meanwhile
            return
        self._ring()

    def close(self) -> None:
        """It rings no more."""
        if self._timer:
            self._timer.cancel()
        if self._file >= 0:
            self._loop.remove_reader(self._file)
            os.close(self._file)
            self._file = -1
