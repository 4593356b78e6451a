"""Greedy-Dual-Size-Frequency."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from mmesim.core.policy import Candidates
from mmesim.policies.eviction.ageing import Ageing

MB = 1e6


@dataclass
class Gdsf(Ageing):
    """The smallest key L + frequency · cost / size leaves first: what is asked for often, slow to load and small stays.

    Cherkasova, "Improving WWW proxies performance with Greedy-Dual-Size-Frequency" (1998); for functions FaasCache
    (Fuerst and Sharma, ASPLOS 2021), which takes the initialisation time as cost. L is the largest key evicted from
    this memory (:mod:`mmesim.policies.eviction.ageing`), the size what leaving frees, in MB. FaasCache's count never
    decays while a copy lives; here the frequency is by default the request rate, decayed with a half-life of 10 min.
    *aggregate_delay* counts those who wait together: a miss of rate r and load time D costs D · (1 + r·D/2) (delayed
    hits: Atre et al., SIGCOMM 2020). Ties by last touch.
    """

    name: ClassVar[str] = "gdsf"

    frequency: Literal["decaying", "count"] = "decaying"
    """decaying: request rate (half-life 10 min); count: requests since the load."""
    cost: Literal["reload", "aggregate_delay", "uniform"] = "reload"
    """reload: time to bring it back; aggregate_delay: of all who would wait together; uniform: all alike."""

    def worth(self, candidates: Candidates) -> NDArray[np.float64]:
        """Frequency · cost / size, per MB."""
        frequency = candidates.rate_rps if self.frequency == "decaying" else candidates.uses
        key: NDArray[np.float64] = frequency * (MB * self._cost(candidates)) / np.maximum(candidates.size_bytes, 1)
        return key

    def _cost(self, candidates: Candidates) -> NDArray[np.float64]:
        if self.cost == "uniform":
            return np.ones(len(candidates))
        reload_s = candidates.reload_s
        return reload_s * (1 + candidates.rate_rps * reload_s / 2) if self.cost == "aggregate_delay" else reload_s
