"""Nothing leaves by itself."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

from mmesim.core.policy import REFUSE, Candidate, Candidates, EvictionPolicy


@dataclass
class Never(EvictionPolicy):
    """Nothing leaves to make room; a load that does not fit fails.

    Triton's explicit model control (--model-control-mode=explicit) taken alone: models leave when somebody unloads
    them (here a prewarm policy, or a model's end), and a load without room is an error.
    """

    name: ClassVar[str] = "never"

    def victims(self, candidates: Candidates, need_bytes: int, now_ns: int) -> Iterable[Candidate]:
        """None."""
        return ()

    def when_short(self, candidates: Candidates, now_ns: int) -> int:
        """The load fails."""
        return REFUSE
