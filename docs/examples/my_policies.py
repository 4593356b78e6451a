"""An eviction policy of one's own: the biggest models leave first, small ones stay while they can."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from mmesim.core.policy import Candidate, Candidates, EvictionPolicy


@dataclass
class BiggestFirst(EvictionPolicy):
    """The biggest model leaves first; models below a size leave only when nothing bigger is left."""

    keep_bytes: int = 0
    """Models smaller than this leave last."""

    def victims(self, candidates: Candidates, need_bytes: int, now_ns: int) -> Iterable[Candidate]:
        """Big ones before small ones, bigger before smaller, among equals the least recently used."""
        small = candidates.size_bytes < self.keep_bytes
        return candidates.ordered(small, -candidates.size_bytes, candidates.last_use_ns)
