"""Belady's MIN: the farthest next request."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

from mmesim.core.policy import Candidate, Candidates, ClairvoyantEviction


@dataclass
class Belady(ClairvoyantEviction):
    """The model whose next request is farthest away leaves first: no real endpoint can know that.

    Belady (1966); optimal for models of one size, instant loads and one cache (Mattson et al., 1970). With sizes and
    load times it is a comparison, not a bound (`mmesim bound` has bounds). The next request is that of the whole
    endpoint, wherever it will be served. Ties (never again) by model number.
    """

    name: ClassVar[str] = "belady"

    def victims(self, candidates: Candidates, need_bytes: int, now_ns: int) -> Iterable[Candidate]:
        """By next request, the farthest first."""
        return candidates.ordered(minus_next_use_ns=-self.future.next_use_ns(candidates.model, now_ns))
