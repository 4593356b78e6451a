"""What the control plane keeps of one instance: byte accounts, who is READY, which cold starts are under way."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from mmesim.core.ledger import Ledger
from mmesim.core.rates import rates_rps
from mmesim.core.residency import ResidencyTable
from mmesim.core.types import NEVER_NS, InstanceSpec, Tier


@dataclass(slots=True)
class ColdStart:
    """One model on its way to READY on one instance; all its waiters share it (single flight)."""

    model: int
    tier: Tier
    deadline_ns: int
    attempts: int = 0
    """Loads that ended out of memory."""


class ModelSet:
    """A set of models that can also be read as an array without being copied; in no particular order."""

    __slots__ = ("_numbers", "_position")

    def __init__(self) -> None:
        self._numbers = np.zeros(16, np.int64)
        self._position: dict[int, int] = {}

    @property
    def numbers(self) -> NDArray[np.int64]:
        """The models as an array; valid until the set changes."""
        return self._numbers[:len(self._position)]

    def add(self, model: int) -> None:
        """Put in a model that is not there."""
        at = len(self._position)
        if at == len(self._numbers):
            self._numbers = np.resize(self._numbers, 2 * at)
        self._numbers[at] = model
        self._position[model] = at

    def remove(self, model: int) -> None:
        """Take out a model that is there; the last one takes its place."""
        at = self._position.pop(model)
        last = self._numbers.item(len(self._position))
        if last != model:
            self._numbers[at] = last
            self._position[last] = at

    def __contains__(self, model: object) -> bool:
        return model in self._position

    def __iter__(self) -> Iterator[int]:
        return iter(self._position)

    def __len__(self) -> int:
        return len(self._position)


@dataclass(slots=True)
class InstanceState:
    """One instance in service or draining."""

    index: int
    zone: int
    joined_ns: int
    spec: InstanceSpec
    table: ResidencyTable
    gpu: Ledger = field(init=False)
    host: Ledger = field(init=False)
    disk: Ledger = field(init=False)
    memory: Ledger = field(init=False)
    """The scarce memory: the GPU's, or the host's on a CPU endpoint."""
    ready: ModelSet = field(default_factory=ModelSet)
    """Models with a READY copy."""
    unloading: dict[int, None] = field(default_factory=dict)
    leaving_gpu_bytes: int = 0
    """Memory of what is unloading: still occupied, about to be free."""
    leaving_host_bytes: int = 0
    cold: dict[int, ColdStart] = field(default_factory=dict)
    download_queue: deque[int] = field(default_factory=deque)
    load_queue: deque[int] = field(default_factory=deque)
    room_made: int = 0
    """For so many loads at the head of the queue there is room, or it is on its way."""
    refused: bool = False
    """The eviction policy keeps what a load would need, for good."""
    downloading: int = 0
    loading: int = 0
    draining: bool = False
    sight: InstanceSight = field(init=False)
    """What policies see of it."""

    def __post_init__(self) -> None:
        self.gpu = Ledger(self.spec.gpu_bytes)
        self.host = Ledger(self.spec.host_bytes)
        self.disk = Ledger(self.spec.disk_bytes)
        self.memory = self.gpu if self.spec.has_gpu else self.host
        self.sight = InstanceSight(self)

    @property
    def outstanding(self) -> int:
        """Requests in flight."""
        return int(self.table.instance.outstanding.item(self.index))

    def holds(self, model: int) -> bool:
        """True when the model's files are on its disk, or on their way to it."""
        return model in self.disk.accounts

    def is_ready(self, model: int) -> bool:
        """True when a READY copy is here."""
        return model in self.ready


class InstanceSight:
    """An instance as policies see it (`InstanceView`): all can be read and nothing changed."""

    __slots__ = ("_of",)

    def __init__(self, of: InstanceState) -> None:
        self._of = of

    @property
    def index(self) -> int:
        """Slot number."""
        return self._of.index

    @property
    def zone(self) -> int:
        """Availability zone."""
        return self._of.zone

    @property
    def joined_ns(self) -> int:
        """In service since."""
        return self._of.joined_ns

    @property
    def memory_bytes(self) -> int:
        """Capacity of the scarce memory."""
        return self._of.memory.capacity_bytes

    @property
    def free_memory_bytes(self) -> int:
        """What is not reserved of the scarce memory."""
        return self._of.memory.capacity_bytes - self._of.memory.used_bytes

    @property
    def free_disk_bytes(self) -> int:
        """What is not reserved of the disk."""
        return self._of.disk.free_bytes

    @property
    def n_ready(self) -> int:
        """READY copies."""
        return len(self._of.ready)

    @property
    def n_cold(self) -> int:
        """Cold starts under way."""
        return len(self._of.cold)

    @property
    def outstanding(self) -> int:
        """Requests in flight."""
        return self._of.outstanding

    @property
    def oldest_use_ns(self) -> int:
        """Last touch of the READY copy that was touched longest ago; NEVER_NS without a copy."""
        rows = self._rows()
        copy = self._of.table.copy
        return int(np.maximum(copy.last_use_ns[rows], copy.ready_since_ns[rows]).min()) if len(rows) else NEVER_NS

    def rate_rps(self, now_ns: int) -> float:
        """Decayed rate of requests sent here, per second."""
        copy, first = self._of.table.copy, self._of.index * self._of.table.n_models
        rows = slice(first, first + self._of.table.n_models)
        return float(rates_rps(copy.rate_q16[rows], copy.rate_at_ns[rows], now_ns).sum())

    def holds(self, model: int) -> bool:
        """True when the model's files are on its disk, or on their way to it."""
        return self._of.holds(model)

    def is_ready(self, model: int) -> bool:
        """True when a READY copy is here."""
        return self._of.is_ready(model)

    def is_cold(self, model: int) -> bool:
        """True when a cold start of it is under way here."""
        return model in self._of.cold

    def _rows(self) -> NDArray[np.int64]:
        return self._of.ready.numbers + self._of.index * self._of.table.n_models
