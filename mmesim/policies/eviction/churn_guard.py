"""ModelMesh's guard against churn."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from mmesim.core.policy import REFUSE, Candidates
from mmesim.policies.eviction.copies import touched_ns
from mmesim.policies.eviction.wrapping import Wrapping
from mmesim.units import ns


@dataclass
class ChurnGuard(Wrapping):
    """A full instance whose least recently used copy was used a short while ago refuses the load.

    KServe ModelMesh rejects a load when the oldest entry of a full instance is younger than 10 times the assumed load
    time. Without that, more models in use than fit end in each load throwing out what is needed next. As
    soon as the oldest idle copy is old enough, another policy decides, among all. Busy copies are in use now and older
    in no case.
    """

    name: ClassVar[str] = "churn_guard"

    min_age_s: float = 30.0
    """Least time since the last use of the least recently used copy; ModelMesh: 10 times what a load takes."""

    def __post_init__(self) -> None:
        if self.min_age_s < 0:
            raise ValueError(f"min_age is {self.min_age_s:g} s; it cannot be below 0")

    def held(self, candidates: Candidates, now_ns: int) -> NDArray[np.bool_]:
        """All or nothing."""
        return np.full(len(candidates), self._is_churn(candidates, now_ns))

    def when_short(self, candidates: Candidates, now_ns: int) -> int:
        """The load fails at once while the guard holds."""
        return REFUSE if self._is_churn(candidates, now_ns) else super().when_short(candidates, now_ns)

    def _is_churn(self, candidates: Candidates, now_ns: int) -> bool:
        oldest_ns = int(touched_ns(candidates).min(initial=now_ns))
        return now_ns - oldest_ns < ns(self.min_age_s)
