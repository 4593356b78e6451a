"""Admission up to a number of requests in flight."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from mmesim.core.policy import AdmissionPolicy
from mmesim.policies.checks import at_least


@dataclass
class QueueLimit(AdmissionPolicy):
    """Requests beyond a number in flight are refused at once (503), per copy of their model or for the endpoint.

    A loss system instead of an endless queue (M/M/c/K): what is let in waits a bounded time. A model without a READY
    copy may have as many requests waiting for its load as one copy may have in flight.
    """

    name: ClassVar[str] = "queue_limit"

    per_copy: int = 0
    """Requests in flight for each READY copy of the request's model; 0: no limit."""
    per_endpoint: int = 0
    """Requests in flight on the endpoint; 0: no limit."""

    def __post_init__(self) -> None:
        at_least(0, per_copy=self.per_copy, per_endpoint=self.per_endpoint)

    def admit(self, model_outstanding: int, endpoint_outstanding: int, ready_copies: int, serving_instances: int,
              now_ns: int) -> bool:
        """True while both limits leave room for one more."""
        if self.per_endpoint > 0 and endpoint_outstanding >= self.per_endpoint:
            return False
        return self.per_copy <= 0 or model_outstanding < self.per_copy * max(1, ready_copies)
