"""No admission control."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from mmesim.core.policy import AdmissionPolicy


@dataclass
class Always(AdmissionPolicy):
    """Every request is let in; it may still end in a full queue or a time-out. What an endpoint does by itself."""

    name: ClassVar[str] = "always"
    always: ClassVar[bool] = True

    def admit(self, model_outstanding: int, endpoint_outstanding: int, ready_copies: int, serving_instances: int,
              now_ns: int) -> bool:
        """True."""
        return True
