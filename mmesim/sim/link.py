"""A link that its transfers share fairly: a network interface, a disk's read bandwidth.

Theory: processor sharing in virtual time. Every transfer moves at the same speed ``min(cap, capacity / n)``, so one
that starts at virtual time V with size s ends when virtual time reaches V + s; only the smallest tag is scheduled. By
insensitivity the mean time of a transfer is that of M/G/1-PS, or with a cap that of a station with total speed
``min(n cap, capacity)``, for every law of sizes (Kelly, "Reversibility and Stochastic Networks", 1979, ch. 3).

Integers only: rates in bytes per second, Q16; virtual time in bytes scaled by 10^9 * 2^16, so that rate times
nanoseconds needs no division. A transfer ends at the first whole nanosecond at which all its bytes are there.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from heapq import heapify, heappop, heappush

import simpy

from mmesim.sim.hub import later
from mmesim.units import NS_PER_S

SCALE = NS_PER_S << 16
_UNLIMITED_Q16 = 1 << 80


def rate_q16(rate_bps: float) -> int:
    """A rate in bytes per second as Q16, at least 1; infinity is allowed."""
    return _UNLIMITED_Q16 if math.isinf(rate_bps) else max(1, round(rate_bps * 65536))


class Transfer:
    """One transfer under way."""

    __slots__ = ("done", "order", "size_bytes", "tag")

    def __init__(self, size_bytes: int, tag: int, order: int, done: Callable[[], object]) -> None:
        self.size_bytes = size_bytes
        self.tag = tag
        self.order = order
        self.done = done

    def __lt__(self, other: Transfer) -> bool:
        return (self.tag, self.order) < (other.tag, other.order)


class Link:
    """Equal sharing with a cap per transfer; capacity and cap may change at any time."""

    def __init__(self, env: simpy.Environment, capacity_bps: float, cap_bps: float = math.inf) -> None:
        self._env = env
        self._capacity_q16 = rate_q16(capacity_bps)
        self._cap_q16 = rate_q16(cap_bps)
        self._transfers: list[Transfer] = []
        self._virtual = 0
        self._at_ns = env.now
        self._speed_q16 = 0
        self._order = 0
        self._moved_bytes = 0
        self._event: simpy.Event | None = None

    def start(self, size_bytes: int, done: Callable[[], object]) -> Transfer:
        """Begin to move so many bytes; `done()` is called when the last one has arrived."""
        self._settle()
        transfer = Transfer(size_bytes, self._virtual + size_bytes * SCALE, self._order, done)
        self._order += 1
        heappush(self._transfers, transfer)
        self._change()
        return transfer

    def cancel(self, transfer: Transfer) -> int:
        """Stop a transfer under way; returns the bytes that were still to come."""
        self._settle()
        missing_bytes = self._missing_bytes(transfer)
        self._moved_bytes += transfer.size_bytes - missing_bytes
        self._transfers.remove(transfer)
        heapify(self._transfers)
        self._change()
        return missing_bytes

    def set_cap(self, cap_bps: float) -> None:
        """The cap of each transfer is another from now on."""
        self._settle()
        self._cap_q16 = rate_q16(cap_bps)
        self._change()

    def clear(self) -> None:
        """Forget all transfers; nobody is told."""
        self._moved_bytes = self.moved_bytes
        self._transfers.clear()
        self._change()

    @property
    def moved_bytes(self) -> int:
        """Whole bytes moved so far."""
        self._settle()
        return self._moved_bytes + sum(t.size_bytes - self._missing_bytes(t) for t in self._transfers)

    def __len__(self) -> int:
        return len(self._transfers)

    def _settle(self) -> None:
        """Bring virtual time to now, at the speed that held since the last change."""
        elapsed_ns = self._env.now - self._at_ns
        if elapsed_ns:
            self._virtual += self._speed_q16 * elapsed_ns
            self._at_ns += elapsed_ns

    def _missing_bytes(self, transfer: Transfer) -> int:
        return max(0, -((self._virtual - transfer.tag) // SCALE))

    @property
    def _used_q16(self) -> int:
        return self._speed_q16 * len(self._transfers)

    def _change(self) -> None:
        """After a change: the new speed, and the one live event."""
        if not self._transfers:
            self._virtual = self._speed_q16 = 0
            self._event = None
            return
        self._speed_q16 = max(1, min(self._cap_q16, self._capacity_q16 // len(self._transfers)))
        self._event = later(self._env, self._next_ns(), self._fire)

    def _next_ns(self) -> int:
        """Delay until the first transfer ends."""
        return max(0, -((self._virtual - self._transfers[0].tag) // self._speed_q16))

    def _fire(self, event: simpy.Event) -> None:
        if event is not self._event:  # superseded by a change
            return
        self._settle()
        ended = []
        while self._transfers and self._transfers[0].tag <= self._virtual:
            ended.append(heappop(self._transfers))
        self._moved_bytes += sum(transfer.size_bytes for transfer in ended)
        self._change()
        for transfer in ended:
            transfer.done()
