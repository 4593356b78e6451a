"""Least recently used."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from mmesim.core.policy import Candidate, Candidates, EvictionPolicy


@dataclass
class Lru(EvictionPolicy):
    """The model that was touched longest ago leaves first; ties by model number.

    What SageMaker documents for multi-model endpoints ("unloads unused models"), and ModelMesh's rule. A model is
    touched when a request for it arrives and when it becomes READY (for the disk: extracted): what was brought in for
    a request that came before a long load, or before any request, does not leave at once.
    """

    name: ClassVar[str] = "lru"

    def victims(self, candidates: Candidates, need_bytes: int, now_ns: int) -> Iterable[Candidate]:
        """By last touch."""
        return candidates.ordered(last_touch_ns=np.maximum(candidates.last_use_ns, candidates.since_ns))
