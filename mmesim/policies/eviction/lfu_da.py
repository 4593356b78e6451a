"""Least frequently used with dynamic ageing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from mmesim.core.policy import Candidates
from mmesim.policies.eviction.ageing import Ageing


@dataclass
class LfuDa(Ageing):
    """The smallest key L + count leaves first: an old favourite that is not asked for any more falls behind.

    Arlitt et al., "Evaluating content management techniques for Web proxy caches" (2000). The count is of requests
    since the copy became READY, L the largest key evicted from this memory, added when a copy comes or is used
    (:mod:`mmesim.policies.eviction.ageing`); ties by last touch. libCacheSim's variant adds L again with every hit and
    is another rule.
    """

    name: ClassVar[str] = "lfu_da"

    def worth(self, candidates: Candidates) -> NDArray[np.float64]:
        """Requests since the load."""
        return candidates.uses.astype(np.float64)
