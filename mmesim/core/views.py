"""What a policy sees: read-only views of models, instances, the endpoint and its published metrics."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from mmesim.core.types import ModelSpec


class ModelView(Protocol):
    """One model, as a policy sees it."""

    @property
    def index(self) -> int: ...
    @property
    def spec(self) -> ModelSpec: ...
    @property
    def copies(self) -> Sequence[int]:
        """Instances with a READY copy, ascending."""
    @property
    def outstanding(self) -> int:
        """Requests in flight for it over all instances."""
    @property
    def n_copies(self) -> int:
        """Copies READY or on their way, on serving instances."""
    @property
    def uses(self) -> int:
        """Requests sent to any copy since the endpoint began."""
    @property
    def last_use_ns(self) -> int:
        """Arrival of the last of them; 0 before the first."""
    def rate_rps(self, now_ns: int) -> float:
        """Decayed request rate over all instances, per second."""


class InstanceView(Protocol):
    """One instance, as a policy sees it."""

    @property
    def index(self) -> int: ...
    @property
    def zone(self) -> int: ...
    @property
    def joined_ns(self) -> int:
        """In service since."""
    @property
    def memory_bytes(self) -> int:
        """Capacity of the scarce memory: the GPU's, or the host's on a CPU endpoint."""
    @property
    def free_memory_bytes(self) -> int: ...
    @property
    def free_disk_bytes(self) -> int: ...
    @property
    def n_ready(self) -> int:
        """READY copies."""
    @property
    def n_cold(self) -> int:
        """Cold starts under way."""
    @property
    def outstanding(self) -> int:
        """Requests in flight."""
    def holds(self, model: int) -> bool:
        """True when the model's files are on its disk."""
    @property
    def oldest_use_ns(self) -> int:
        """Last touch (request or load) of the READY copy that was touched longest ago; NEVER_NS without a copy."""
    def rate_rps(self, now_ns: int) -> float:
        """Decayed rate of requests sent here, per second."""
    def is_ready(self, model: int) -> bool:
        """True when a READY copy is here."""
    def is_cold(self, model: int) -> bool:
        """True when a cold start of it is under way here."""


class EndpointView(Protocol):
    """The whole endpoint, as a policy sees it."""

    @property
    def models(self) -> Sequence[ModelView]: ...
    @property
    def instances(self) -> Sequence[InstanceView]:
        """Serving instances, ascending."""
    @property
    def model_uses(self) -> NDArray[np.int64]:
        """`ModelView.uses` of every model, by number; read only."""
    @property
    def model_last_use_ns(self) -> NDArray[np.int64]:
        """`ModelView.last_use_ns` of every model, by number; read only."""


class MetricsView(Protocol):
    """Published metrics and the capacity they led to."""

    @property
    def period_s(self) -> float: ...
    @property
    def desired(self) -> int:
        """Instances wanted at present."""
    @property
    def in_service(self) -> int: ...
    @property
    def min_instances(self) -> int: ...
    @property
    def max_instances(self) -> int: ...
    def datapoints(self, metric: str, statistic: str, n: int) -> list[float | None]:
        """The last `n` periods, oldest first; None where the metric had no data. Unknown before the start: absent."""
