"""A minimum time in memory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from mmesim.core.policy import REFUSE, Candidates
from mmesim.policies.eviction.wrapping import Wrapping
from mmesim.units import ns


@dataclass
class MinResidency(Wrapping):
    """A copy stays for a minimum time after it became READY; a load that needs its room waits until that is over.

    The resident set's protection against thrashing (Denning, "Thrashing: its causes and prevention", 1968): what was
    loaded at a cost serves for a while before it is thrown out. Another policy decides among the older copies.
    """

    name: ClassVar[str] = "min_residency"

    min_s: float = 30.0
    """Nothing younger leaves; a few times what a load takes."""

    def __post_init__(self) -> None:
        if self.min_s < 0:
            raise ValueError(f"min is {self.min_s:g} s; it cannot be below 0")

    def held(self, candidates: Candidates, now_ns: int) -> NDArray[np.bool_]:
        """Those that are younger."""
        return now_ns - candidates.since_ns < ns(self.min_s)

    def when_short(self, candidates: Candidates, now_ns: int) -> int:
        """When the oldest copy that is held back may leave, or earlier if the inner policy says so."""
        inner_ns = super().when_short(candidates, now_ns)
        young = candidates.since_ns[self.held(candidates, now_ns)]
        if not len(young):
            return inner_ns
        free_ns = int(young.min()) + ns(self.min_s)
        return free_ns if inner_ns == REFUSE else min(inner_ns, free_ns)
