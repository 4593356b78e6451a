"""CH_BL: consistent hashing with bounded loads."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from mmesim.core.policy import Choice, RoutingPolicy
from mmesim.policies.checks import above_zero, at_least

RING = 1 << 31
"""Points of the ring: products of two of them fit into an int64."""
MILLION = 1_000_000


@dataclass
class ChBl(RoutingPolicy):
    """The first instance clockwise on a hash ring after the model that has not more than its share of the load.

    Consistent hashing with bounded loads (Mirrokni, Thorup, Zadimoghaddam, SODA 2018), as HAProxy's
    `hash-balance-factor` does it: with m requests in flight on n instances a request goes to the first instance after
    its model's point with fewer than ceil((1 + eps)(m + 1)/n). Requests that are in flight are not moved when others
    end, so an instance may stand above the bound for a while; it gets no further ones. Blind: an instance that does not
    hold the model loads it, and further copies come to the same next instances each time. A ring point is a hash of
    the instance's slot or of the model's number. Left out: the noise and the popularity rule of CH-RLU (HPDC 2022),
    which are for several routers with stale counts.
    """

    name: ClassVar[str] = "ch_bl"

    eps: float = 0.25
    """By how much an instance may be above the mean load: little spreads the load, much keeps models together."""
    virtual_nodes: int = 16
    """Points of an instance on the ring; the spread of shares falls as 1/sqrt(virtual_nodes)."""
    blind: bool = field(init=False, default=True)

    def __post_init__(self) -> None:
        above_zero(eps=self.eps)
        at_least(1, virtual_nodes=self.virtual_nodes)

    def score(self, copy: Choice, now_ns: int) -> int:
        """Way clockwise from the model to the instance's nearest point, behind all others if the instance is full."""
        start, way = 0, RING
        for node in range(-1, self.virtual_nodes):
            mixed = 2 * copy.model + 1 if node < 0 else 2 * (copy.instance * self.virtual_nodes + node)
            for _ in range(2):
                mixed = (mixed ^ (mixed >> 15)) * 0x2C1B3C6D % RING
                mixed = (mixed ^ (mixed >> 12)) * 0x297A2D39 % RING
            mixed ^= mixed >> 15
            if node < 0:
                start = mixed
            else:
                way = min(way, (mixed - start) % RING)
        most = (MILLION + round(self.eps * MILLION)) * (copy.endpoint_outstanding + 1)
        bound = -(-most // (MILLION * copy.serving))
        return way if copy.instance_outstanding < bound else way + RING
