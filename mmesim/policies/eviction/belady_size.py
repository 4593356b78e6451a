"""Belady with sizes: the most bytes for the longest time."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from mmesim.core.policy import Candidate, Candidates, ClairvoyantEviction
from mmesim.core.types import NEVER_NS


@dataclass
class BeladySize(ClairvoyantEviction):
    """The largest size · time to the next request leaves first: no real endpoint can know that.

    The usual heuristic for models of different sizes, where the optimum is NP-hard (Berger et al., "Practical bounds
    on optimal caching with variable object sizes", SIGMETRICS 2018, compare with it). What is never asked for again
    leaves before all else, the largest first. Ties by model number.
    """

    name: ClassVar[str] = "belady_size"

    def victims(self, candidates: Candidates, need_bytes: int, now_ns: int) -> Iterable[Candidate]:
        """By bytes · seconds until the next request, the most first."""
        next_use_ns = self.future.next_use_ns(candidates.model, now_ns)
        again = next_use_ns < NEVER_NS
        wait_s = np.where(again, next_use_ns - now_ns, 1) / 1e9
        return candidates.ordered(asked_again=again, minus_byte_seconds=-wait_s * candidates.size_bytes)
