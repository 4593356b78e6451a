"""First in, first out."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

from mmesim.core.policy import Candidate, Candidates, EvictionPolicy


@dataclass
class Fifo(EvictionPolicy):
    """The copy that became READY first leaves first, used or not; ties by model number.

    The textbook's baseline (Belady, "A study of replacement algorithms for a virtual-storage computer", 1966): it
    remembers nothing of the requests, so what it lacks to another policy is what that policy makes of them.
    """

    name: ClassVar[str] = "fifo"

    def victims(self, candidates: Candidates, need_bytes: int, now_ns: int) -> Iterable[Candidate]:
        """By the time they became READY (on the disk: were extracted)."""
        return candidates.ordered(ready_since_ns=candidates.since_ns)
