"""What a policy is: six base classes, one mandatory method each, and the read-only views they decide from.

Rules for a policy: parameters are dataclass fields (private state is ``field(init=False)``); it reads a view and
returns a decision; it never changes what it is shown; randomness comes only from ``self.rng``, which the endpoint
gives it; it imports :mod:`mmesim.core` and the standard library (and NumPy), nothing else. The same object then runs
in simulation, replay and live.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar, Protocol

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
    def rate_rps(self, now_ns: int) -> float:
        """Decayed request rate over all instances, per second."""


class InstanceView(Protocol):
    """One instance, as a policy sees it."""

    @property
    def index(self) -> int: ...
    @property
    def zone(self) -> int: ...
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
    def is_ready(self, model: int) -> bool:
        """True when a READY copy is here."""


class EndpointView(Protocol):
    """The whole endpoint, as a policy sees it."""

    @property
    def models(self) -> Sequence[ModelView]: ...
    @property
    def instances(self) -> Sequence[InstanceView]:
        """Serving instances, ascending."""


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


@dataclass(frozen=True, slots=True)
class Candidate:
    """One model that could leave, as an eviction policy sees it."""

    instance: int
    model: int
    spec: ModelSpec
    size_bytes: int
    """What its leaving frees."""
    last_use_ns: int
    uses: int
    """Requests since it became READY (for the disk: since then too)."""
    rate_rps: float
    """Decayed request rate on this instance."""
    since_ns: int
    """READY since (for the disk: extracted at)."""
    reload_s: float
    """Expected time to bring it back."""


class Candidates(Sequence[Candidate]):
    """The models that could leave, in columns and as a sequence of :class:`Candidate`; in no particular order."""

    def __init__(self, instance: int, specs: Sequence[ModelSpec], model: NDArray[np.int64],
                 size_bytes: NDArray[np.int64], last_use_ns: NDArray[np.int64], uses: NDArray[np.int64],
                 rate_rps: NDArray[np.float64], since_ns: NDArray[np.int64], reload_s: NDArray[np.float64]) -> None:
        self.instance = instance
        self.specs = specs
        self.model = model
        self.size_bytes = size_bytes
        self.last_use_ns = last_use_ns
        self.uses = uses
        self.rate_rps = rate_rps
        self.since_ns = since_ns
        self.reload_s = reload_s

    def __len__(self) -> int:
        return len(self.model)

    def __getitem__(self, position):  # type: ignore[no-untyped-def]
        assert not isinstance(position, slice), "candidates are taken one by one"
        model = int(self.model[position])
        return Candidate(self.instance, model, self.specs[model], int(self.size_bytes[position]),
                         int(self.last_use_ns[position]), int(self.uses[position]), float(self.rate_rps[position]),
                         int(self.since_ns[position]), float(self.reload_s[position]))

    def ordered(self, *keys: NDArray[np.generic]) -> Iterator[Candidate]:
        """Candidates by ascending keys (the first key counts most), ties by model number."""
        if not len(self.model):
            return
        keys = (*keys, self.model)
        first = _least(keys)
        yield self[first]
        for position in np.lexsort(keys[::-1]).tolist():
            if position != first:
                yield self[position]


def _least(keys: Sequence[NDArray[np.generic]]) -> int:
    """Position of the least row: most often it is the only one wanted, and a sort would be wasted."""
    positions = np.flatnonzero(keys[0] == keys[0].min())
    for key in keys[1:]:
        if len(positions) == 1:
            break
        tied = key[positions]
        positions = positions[tied == tied.min()]
    return int(positions[0])


class WrongAnswer(ValueError):
    """A policy answered what its kind may not answer: a mistake in the policy."""


class Policy:
    """What all policies have: a name, and a random stream of their own that the endpoint sets."""

    name: ClassVar[str] = ""
    """Short name; empty for a user's class."""
    rng: np.random.Generator
    """Set before the first decision."""


class RoutingPolicy(Policy, ABC):
    """Which READY copy serves. Subclasses are dataclasses and may have the fields `blind` and `spill_outstanding`."""

    blind: bool = False
    """True: choose among all serving instances, wherever the model is; False: among READY copies."""
    spill_outstanding: int = 0
    """A chosen copy with at least so many requests in flight makes the router wish for one more copy; 0: never."""

    @abstractmethod
    def score(self, outstanding: int, instance_outstanding: int, last_use_ns: int, uses: int, draw: int,
              now_ns: int) -> int:
        """Score of one copy: the lowest wins, ties go to the lowest instance number.

        Scalars in and out, no side effect: the kernel compiles this very method. `draw` is a fresh random number in
        [0, 2^62) for each (request, copy); ``self`` offers the numeric dataclass fields only.
        """


class AdmissionPolicy(Policy, ABC):
    """Accept or refuse a request on arrival."""

    always: ClassVar[bool] = False
    """True: never asked."""

    @abstractmethod
    def admit(self, model_outstanding: int, endpoint_outstanding: int, ready_copies: int, serving_instances: int,
              now_ns: int) -> bool:
        """True: goes on to the router; False: 503. Compiled like `RoutingPolicy.score`."""


class PlacementPolicy(Policy, ABC):
    """Where a cold model goes."""

    @abstractmethod
    def place(self, model: ModelView, instances: Sequence[InstanceView], now_ns: int) -> int | None:
        """Number of the instance that gets a copy: one of `instances` (serving, without one, never empty), or None."""


class EvictionPolicy(Policy, ABC):
    """What leaves a memory or a disk."""

    @abstractmethod
    def victims(self, candidates: Candidates, need_bytes: int, now_ns: int) -> Iterable[Candidate]:
        """Yields best victims first; the controller stops pulling when it has enough. Pinned, busy and loading models
        are never candidates."""

    def loaded(self, instance: int, model: int, now_ns: int) -> None:
        """Hook: the model became READY (for the disk: extracted) there."""

    def removed(self, instance: int, model: int, now_ns: int) -> None:
        """Hook: the model left, evicted or not."""


@dataclass(frozen=True, slots=True)
class Prewarm:
    """A pre-warm decision: bring a model to READY on an instance, or unload it there."""

    instance: int
    model: int
    load: bool = True


class PrewarmPolicy(Policy, ABC):
    """What to load before it is asked for, what to unload early. Subclasses may set the field `period_s`."""

    period_s: float = 60.0

    @abstractmethod
    def plan(self, endpoint: EndpointView, now_ns: int) -> Iterable[Prewarm]:
        """Asked every `period_s`, and when an instance joins."""


class AutoscalingPolicy(Policy, ABC):
    """How many instances, from published metrics only."""

    @abstractmethod
    def desired(self, metrics: MetricsView, now_ns: int) -> int | None:
        """Instances wanted, or None for no opinion. Asked at each publication. Above the present number is a wish to
        scale out, below it one to scale in (done only if every policy with an opinion agrees)."""

    def bounds(self, now_ns: int) -> tuple[int | None, int | None]:
        """Hook: (min, max) that replace the endpoint's from now on; None keeps one."""
        return None, None


@dataclass(frozen=True, slots=True)
class Policies:
    """The policies of one endpoint."""

    routing: RoutingPolicy
    placement: PlacementPolicy
    gpu_eviction: EvictionPolicy
    disk_eviction: EvictionPolicy
    prewarm: PrewarmPolicy
    admission: AdmissionPolicy
    autoscaling: tuple[AutoscalingPolicy, ...] = ()
