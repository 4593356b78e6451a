"""The endpoint's control state, shared by the controller's parts, and the read-only view policies get of it."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from mmesim.core.actions import Action
from mmesim.core.instance import InstanceState
from mmesim.core.policy import Policies
from mmesim.core.residency import RATE_HALF_LIFE_NS, ResidencyTable, decayed
from mmesim.core.types import EndpointSpec, ModelSpec

RATE_PER_COUNT = math.log(2) / (RATE_HALF_LIFE_NS / 1e9) / 65536
"""Requests per second that a steady decayed count (Q16) of one stands for."""


class ModelState:
    """One model, as policies see it (`ModelView`)."""

    __slots__ = ("index", "spec", "table")

    def __init__(self, index: int, spec: ModelSpec, table: ResidencyTable) -> None:
        self.index = index
        self.spec = spec
        self.table = table

    @property
    def copies(self) -> Sequence[int]:
        """Instances with a READY copy, ascending."""
        listed: list[int] = self.table.ready[self.index, :self.table.model.n_ready.item(self.index)].tolist()
        return listed

    @property
    def outstanding(self) -> int:
        """Requests in flight over all instances."""
        return int(self.table.model.outstanding.item(self.index))

    def rate_rps(self, now_ns: int) -> float:
        """Decayed request rate over all instances, per second."""
        rows = slice(self.index, None, self.table.n_models)
        counts = zip(self.table.copy.rate_q16[rows].tolist(), self.table.copy.rate_at_ns[rows].tolist(), strict=True)
        return sum(decayed(count, at, now_ns)[0] for count, at in counts if count) * RATE_PER_COUNT


class Endpoint:
    """Control state of the whole endpoint."""

    def __init__(self, spec: EndpointSpec, models: Sequence[ModelSpec], policies: Policies,
                 table: ResidencyTable) -> None:
        self.spec = spec
        self.specs = tuple(models)
        self.models = tuple(ModelState(index, model, table) for index, model in enumerate(models))
        self.policies = policies
        self.table = table
        self.fleet: dict[int, InstanceState] = {}
        """Instances in service or draining, by slot."""
        self.evictable = np.array([not model.pinned for model in models], bool)
        self.has_pinned = not self.evictable.all()
        self.expected_gpu_bytes = [model.gpu_bytes for model in models]
        """What a copy is expected to take; learnt from what loads report."""
        self.actions: list[Action] = []
        """What the step at hand has decided so far, in order."""

    @property
    def instances(self) -> list[InstanceState]:
        """Serving instances, ascending."""
        return [self.fleet[i] for i in self.table.serving.tolist()]

    def do(self, action: Action) -> None:
        """Decide an action."""
        self.actions.append(action)
