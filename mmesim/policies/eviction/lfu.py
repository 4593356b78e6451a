"""Least frequently used."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from mmesim.core.policy import Candidate, Candidates, EvictionPolicy


@dataclass
class Lfu(EvictionPolicy):
    """The model with the fewest requests since it became READY leaves first; ties by last touch, then by model number.

    In-cache LFU without aging (Arlitt et al., "Evaluating content management techniques for Web proxy caches", 2000):
    the count starts at 0 with each load and never decays while the copy lives, so that an old favourite stays long.
    """

    name: ClassVar[str] = "lfu"

    def victims(self, candidates: Candidates, need_bytes: int, now_ns: int) -> Iterable[Candidate]:
        """By requests since the load, then by last touch."""
        return candidates.ordered(uses=candidates.uses,
                                  last_touch_ns=np.maximum(candidates.last_use_ns, candidates.since_ns))
