"""The endpoint's control state, shared by the controller's parts, and the read-only view policies get of it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from mmesim.core.actions import Action
from mmesim.core.decisions import Decision
from mmesim.core.instance import InstanceSight, InstanceState
from mmesim.core.policy import Policies
from mmesim.core.rates import rates_rps
from mmesim.core.residency import ResidencyTable
from mmesim.core.timers import Timers
from mmesim.core.types import EndpointSpec, ModelSpec


class ModelSight:
    """A model as policies see it (`ModelView`): all can be read and nothing changed."""

    __slots__ = ("_index", "_spec", "_table")

    def __init__(self, index: int, spec: ModelSpec, table: ResidencyTable) -> None:
        self._index = index
        self._spec = spec
        self._table = table

    @property
    def index(self) -> int:
        """Its number."""
        return self._index

    @property
    def spec(self) -> ModelSpec:
        """What is known of it beforehand."""
        return self._spec

    @property
    def copies(self) -> Sequence[int]:
        """Instances with a READY copy, ascending."""
        listed: list[int] = self._table.ready[self._index, :self._table.model.n_ready.item(self._index)].tolist()
        return listed

    @property
    def n_copies(self) -> int:
        """Copies READY or on their way, on serving instances."""
        return int(self._table.model.n_copies.item(self._index))

    @property
    def outstanding(self) -> int:
        """Requests in flight over all instances."""
        return int(self._table.model.outstanding.item(self._index))

    @property
    def uses(self) -> int:
        """Requests sent to any copy since the endpoint began."""
        return int(self._table.model.uses.item(self._index))

    @property
    def last_use_ns(self) -> int:
        """Arrival of the last of them; 0 before the first."""
        return int(self._table.model.last_use_ns.item(self._index))

    def rate_rps(self, now_ns: int) -> float:
        """Decayed request rate over all instances, per second."""
        rows = slice(self._index, None, self._table.n_models)
        copy = self._table.copy
        return float(rates_rps(copy.rate_q16[rows], copy.rate_at_ns[rows], now_ns).sum())


class EndpointSight:
    """The endpoint as policies see it (`EndpointView`): all can be read and nothing changed."""

    __slots__ = ("_of",)

    def __init__(self, of: Endpoint) -> None:
        self._of = of

    @property
    def models(self) -> Sequence[ModelSight]:
        """All models, by number."""
        return self._of.models

    @property
    def instances(self) -> Sequence[InstanceSight]:
        """Serving instances, ascending."""
        return [instance.sight for instance in self._of.instances]

    @property
    def model_uses(self) -> NDArray[np.int64]:
        """`ModelView.uses` of every model, by number."""
        return read_only(self._of.table.model.uses)

    @property
    def model_last_use_ns(self) -> NDArray[np.int64]:
        """`ModelView.last_use_ns` of every model, by number."""
        return read_only(self._of.table.model.last_use_ns)


def read_only(values: NDArray[np.int64]) -> NDArray[np.int64]:
    """A copy that nobody can write to."""
    copy = values.copy()
    copy.setflags(write=False)
    return copy


class Endpoint:
    """Control state of the whole endpoint."""

    def __init__(self, spec: EndpointSpec, models: Sequence[ModelSpec], policies: Policies,
                 table: ResidencyTable) -> None:
        self.spec = spec
        self.specs = list(models)
        self.models = [ModelSight(index, model, table) for index, model in enumerate(models)]
        self.sight = EndpointSight(self)
        """What policies see of it."""
        self.policies = policies
        self.table = table
        table.know(models, spec.load_threads)
        self.fleet: dict[int, InstanceState] = {}
        """Instances in service or draining, by slot."""
        self.evictable = np.array([not model.pinned for model in models], bool)
        self.has_pinned = not self.evictable.all()
        self.expected_gpu_bytes = [model.gpu_bytes for model in models]
        """What a copy is expected to take; learnt from what loads report."""
        self.actions: list[Action] = []
        """What the step at hand has decided so far, in order."""
        self.decisions: list[Decision] | None = None
        """How policies came to what the step at hand has decided; None: nobody wants to know."""
        self.timers = Timers()

    def describe(self, model: int, spec: ModelSpec) -> None:
        """What is known of a model, from now on; what its loads have told of its size stays, unless that is new too."""
        if spec.gpu_bytes != self.specs[model].gpu_bytes:
            self.expected_gpu_bytes[model] = spec.gpu_bytes
        self.specs[model] = spec
        self.models[model] = ModelSight(model, spec, self.table)
        self.table.know_model(model, spec)
        self.evictable[model] = not spec.pinned
        self.has_pinned = not self.evictable.all()

    @property
    def instances(self) -> list[InstanceState]:
        """Serving instances, ascending."""
        return [self.fleet[i] for i in self.table.serving.tolist()]

    def explain(self, decision: Decision) -> None:
        """Keep how a policy decided, when somebody wants to know."""
        if self.decisions is not None:
            self.decisions.append(decision)

    def do(self, action: Action) -> None:
        """Decide an action."""
        self.actions.append(action)
