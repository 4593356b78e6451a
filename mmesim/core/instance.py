"""What the control plane keeps of one instance: byte accounts, who is READY, which cold starts are under way."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from mmesim.core.ledger import Ledger
from mmesim.core.residency import ResidencyTable
from mmesim.core.types import InstanceSpec, Tier


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
    """One instance in service or draining. Policies see it as an `InstanceView`."""

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
    downloading: int = 0
    loading: int = 0
    draining: bool = False

    def __post_init__(self) -> None:
        self.gpu = Ledger(self.spec.gpu_bytes)
        self.host = Ledger(self.spec.host_bytes)
        self.disk = Ledger(self.spec.disk_bytes)
        self.memory = self.gpu if self.spec.has_gpu else self.host

    @property
    def memory_bytes(self) -> int:
        """Capacity of the scarce memory."""
        return self.memory.capacity_bytes

    @property
    def free_memory_bytes(self) -> int:
        """What is not reserved of the scarce memory."""
        return self.memory.capacity_bytes - self.memory.used_bytes

    @property
    def free_disk_bytes(self) -> int:
        """What is not reserved of the disk."""
        return self.disk.free_bytes

    @property
    def n_ready(self) -> int:
        """READY copies."""
        return len(self.ready)

    @property
    def n_cold(self) -> int:
        """Cold starts under way."""
        return len(self.cold)

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
