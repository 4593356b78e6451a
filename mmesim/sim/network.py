"""The network interface of one instance: baseline and burst bandwidth with a bucket of credits.

EC2 gives smaller instances "up to" a burst bandwidth: they earn network I/O credits while they use less than their
baseline and spend them above it; without credits they get the baseline (EC2 User Guide, "Amazon EC2 instance network
bandwidth"). The size of the bucket is not published: it is the setting `network_credit`, the time at full burst that
a full bucket lasts. A new instance starts with a full bucket. Credits are counted in bytes above the baseline.
"""

from __future__ import annotations

import simpy

from mmesim.sim.link import SCALE, Link
from mmesim.units import ns


class Nic(Link):
    """A :class:`Link` whose capacity is the burst rate while it has credits, else the baseline."""

    def __init__(self, env: simpy.Environment, baseline_bps: float, burst_bps: float, credit_s: float,
                 cap_bps: float) -> None:
        super().__init__(env, baseline_bps, cap_bps)
        self._baseline_q16 = self._capacity_q16
        self._burst_q16 = max(self._baseline_q16, round(burst_bps * 65536))
        self._full = (self._burst_q16 - self._baseline_q16) * ns(credit_s)
        self._credit = self._full

    @property
    def credit_bytes(self) -> int:
        """Bytes that may still be moved above the baseline."""
        self._settle()
        return self._credit // SCALE

    def _settle(self) -> None:
        saved = (self._baseline_q16 - self._used_q16) * (self._env.now - self._at_ns)
        self._credit = max(0, min(self._full, self._credit + saved))
        super()._settle()

    def _change(self) -> None:
        wanted_q16 = self._cap_q16 * len(self._transfers)
        bursts = self._credit > 0 or wanted_q16 <= self._baseline_q16
        self._capacity_q16 = self._burst_q16 if bursts else self._baseline_q16
        super()._change()

    def _next_ns(self) -> int:
        """Delay until the first transfer ends or the credits do."""
        overdraft_q16 = self._used_q16 - self._baseline_q16
        if overdraft_q16 <= 0 or not self._credit:
            return super()._next_ns()
        return min(super()._next_ns(), -(-self._credit // overdraft_q16))
