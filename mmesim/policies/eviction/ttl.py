"""Fixed keep-alive."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

from mmesim.core.policy import Candidate, Candidates, EvictionPolicy
from mmesim.policies.eviction.copies import touched_ns


@dataclass
class Ttl(EvictionPolicy):
    """An idle copy leaves after a time without a request; before that, when room is needed, the least recently used.

    The fixed keep-alive of serverless platforms (Shahrad et al., "Serverless in the Wild", ATC 2020, give 10 min for
    OpenWhisk and AWS Lambda, 20 min for Azure Functions). Where memory is scarce it turns into LRU. A copy is touched
    when a request for it arrives and when it becomes READY; files on the disk never expire.
    """

    name: ClassVar[str] = "ttl"

    keep_alive_s: float = 600.0
    """An idle copy leaves so long after its last touch."""

    def __post_init__(self) -> None:
        if self.keep_alive_s <= 0:
            raise ValueError(f"keep_alive is {self.keep_alive_s:g} s; it must be above 0")

    def victims(self, candidates: Candidates, need_bytes: int, now_ns: int) -> Iterable[Candidate]:
        """By last touch."""
        return candidates.ordered(last_touch_ns=touched_ns(candidates))

    def expires_ns(self, instance: int, model: int, touched_ns: int) -> int:
        """A fixed time after the last touch."""
        return touched_ns + round(self.keep_alive_s * 1e9)
