"""What the control plane keeps of one instance: byte accounts, who is READY, which cold starts are under way."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

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
    ready: dict[int, None] = field(default_factory=dict)
    """Models with a READY copy, in the order they became READY."""
    unloading: dict[int, None] = field(default_factory=dict)
    cold: dict[int, ColdStart] = field(default_factory=dict)
    download_queue: deque[int] = field(default_factory=deque)
    load_queue: deque[int] = field(default_factory=deque)
    downloading: int = 0
    loading: int = 0
    draining: bool = False

    def __post_init__(self) -> None:
        self.gpu = Ledger(self.spec.gpu_bytes)
        self.host = Ledger(self.spec.host_bytes)
        self.disk = Ledger(self.spec.disk_bytes)

    @property
    def memory(self) -> Ledger:
        """The scarce memory: the GPU's, or the host's on a CPU endpoint."""
        return self.gpu if self.spec.has_gpu else self.host

    @property
    def memory_bytes(self) -> int:
        """Capacity of the scarce memory."""
        return self.memory.capacity_bytes

    @property
    def free_memory_bytes(self) -> int:
        """What is not reserved of the scarce memory."""
        return self.memory.free_bytes

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
        return int(self.table.instances["outstanding"][self.index])

    def holds(self, model: int) -> bool:
        """True when the model's files are on its disk, or on their way to it."""
        return model in self.disk.accounts

    def is_ready(self, model: int) -> bool:
        """True when a READY copy is here."""
        return model in self.ready
