"""No pre-warming."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

from mmesim.core.policy import EndpointView, Prewarm, PrewarmPolicy


@dataclass
class NoPrewarm(PrewarmPolicy):
    """Nothing is loaded before it is asked for, as SageMaker does (its guide knows no warm-up of single models)."""

    name: ClassVar[str] = "none"
    period_s = 0.0

    def plan(self, endpoint: EndpointView, now_ns: int) -> Iterable[Prewarm]:
        """Nothing."""
        return ()
