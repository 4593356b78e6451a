"""Views to build by hand: models, instances, metrics and eviction candidates as a policy sees them.

They are values: whatever a policy tries to change raises. They offer exactly what the protocols of
:mod:`mmesim.core.policy` promise, besides what is needed to build them (`models_ready`, `series` …).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from mmesim.core.choice import Choice
from mmesim.core.policy import Candidate, Candidates
from mmesim.core.types import NEVER_NS, ModelSpec
from mmesim.units import GIB, MIB


def model_spec(name: str = "model", size_bytes: int = 100 * MIB, *, pinned: bool = False, **values: Any) -> ModelSpec:
    """A model whose archive, files and copies have one size; `values` are further fields of ModelSpec."""
    sizes = dict.fromkeys(("gpu_bytes", "host_bytes", "artifact_bytes", "disk_bytes"), size_bytes)
    return ModelSpec(name, pinned=pinned, **{**sizes, "reload_disk_s": 1.0, "reload_s3_s": 10.0, **values})


@dataclass(frozen=True)
class FakeModel:
    """A `ModelView`."""

    index: int = 0
    spec: ModelSpec = field(default_factory=model_spec)
    copies: tuple[int, ...] = ()
    outstanding: int = 0
    steady_rate_rps: float = 0.0
    uses: int = 0
    last_use_ns: int = 0
    n_on_the_way: int = 0

    @property
    def n_copies(self) -> int:
        """READY or on the way."""
        return len(self.copies) + self.n_on_the_way

    def rate_rps(self, now_ns: int) -> float:
        """The same at any time."""
        return self.steady_rate_rps


@dataclass(frozen=True)
class FakeInstance:
    """An `InstanceView`."""

    index: int = 0
    zone: int = 0
    memory_bytes: int = 14 * GIB
    free_memory_bytes: int = 14 * GIB
    free_disk_bytes: int = 200 * GIB
    outstanding: int = 0
    joined_ns: int = 0
    oldest_use_ns: int = NEVER_NS
    steady_rate_rps: float = 0.0
    models_cold: tuple[int, ...] = ()
    """With a cold start under way."""
    models_ready: tuple[int, ...] = ()
    models_on_disk: tuple[int, ...] = ()
    """Besides those that are READY."""

    @property
    def n_ready(self) -> int:
        """READY copies."""
        return len(self.models_ready)

    @property
    def n_cold(self) -> int:
        """Cold starts under way."""
        return len(self.models_cold)

    def rate_rps(self, now_ns: int) -> float:
        """The same at any time."""
        return self.steady_rate_rps

    def is_cold(self, model: int) -> bool:
        """True when a cold start of it is under way."""
        return model in self.models_cold

    def holds(self, model: int) -> bool:
        """True when READY or on the disk."""
        return model in self.models_on_disk or model in self.models_ready

    def is_ready(self, model: int) -> bool:
        """True when READY."""
        return model in self.models_ready


@dataclass(frozen=True)
class FakeEndpoint:
    """An `EndpointView`."""

    models: tuple[FakeModel, ...] = ()
    instances: tuple[FakeInstance, ...] = ()

    @property
    def model_uses(self) -> np.ndarray[Any, Any]:
        """`uses` of every model."""
        return _fixed([model.uses for model in self.models], np.int64)

    @property
    def model_last_use_ns(self) -> np.ndarray[Any, Any]:
        """`last_use_ns` of every model."""
        return _fixed([model.last_use_ns for model in self.models], np.int64)


@dataclass(frozen=True)
class FakeMetrics:
    """A `MetricsView` from series written down, e.g. ``{"GPUUtilization.Average": [50, 60, None]}``."""

    series: Mapping[str, Sequence[float | None]] = field(default_factory=dict)
    """Datapoints by ``metric.statistic``, oldest first; ``*`` stands for every other."""
    desired: int = 1
    in_service: int = 1
    min_instances: int = 1
    max_instances: int = 10
    period_s: float = 60.0

    def datapoints(self, metric: str, statistic: str, n: int) -> list[float | None]:
        """The last `n`, fewer when the series is shorter."""
        series = self.series.get(f"{metric}.{statistic}", self.series.get("*", ()))
        return list(series[max(0, len(series) - n):])


def copy(**values: int) -> Choice:
    """A READY copy of model 0 on instance 0 that does nothing and is the only one offered; `values`: other fields."""
    idle = {"offered": 1, "serving": 1, "ready": 1}
    return Choice(**{**dict.fromkeys(Choice._fields, 0), **idle, **values})


def candidate(model: int, size_bytes: int = 100 * MIB, *, last_use_ns: int = 0, uses: int = 1, rate_rps: float = 0.0,
              since_ns: int = 0, reload_s: float = 1.0, instance: int = 0) -> Candidate:
    """One model that could leave."""
    spec = model_spec(f"model-{model}", size_bytes)
    return Candidate(instance, model, spec, size_bytes, last_use_ns, uses, rate_rps, since_ns, reload_s)


def candidates(rows: Iterable[Candidate], instance: int = 0) -> Candidates:
    """Candidates with read-only columns, from rows of one instance, in the order of model numbers."""
    ordered = sorted(rows, key=lambda row: row.model)
    assert all(row.instance == instance for row in ordered), "candidates are of one instance"
    specs = [model_spec(f"model-{n}") for n in range(ordered[-1].model + 1)] if ordered else []
    for row in ordered:
        specs[row.model] = row.spec
    columns = {name: _fixed([getattr(row, name) for row in ordered], kind) for name, kind in _COLUMNS.items()}
    return Candidates(instance, tuple(specs), **columns)


_COLUMNS: dict[str, type] = {
    "model": np.int64, "size_bytes": np.int64, "last_use_ns": np.int64, "uses": np.int64, "rate_rps": np.float64,
    "since_ns": np.int64, "reload_s": np.float64}


def _fixed(values: list[Any], kind: type) -> np.ndarray[Any, Any]:
    """An array over bytes: nobody can make it writable again."""
    return np.frombuffer(np.array(values, kind).tobytes(), kind)
