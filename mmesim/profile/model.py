"""A profile as the simulator uses it: plain numbers in base units, and where each of them is from."""

from __future__ import annotations

from dataclasses import dataclass, field

from mmesim.profile.curve import ServiceCurve
from mmesim.profile.schema import ProfileFile, provenances

ON_CPU = "cpu"
LEAST_BUSY = 0.05
"""Part of a batch's time in which it keeps the device busy, at least, however long the profile's gap."""


@dataclass(frozen=True)
class Origin:
    """How a number is known: basis, full reference, place in it, note."""

    basis: str
    source: str
    at: str
    note: str


@dataclass(frozen=True)
class ModelProfile:
    """One model on one backend, precision and device."""

    file: ProfileFile
    _curve: ServiceCurve = field(repr=False, compare=False)

    @classmethod
    def of(cls, file: ProfileFile) -> ModelProfile:
        """The profile that a checked file describes."""
        points = file.latency.batches
        return cls(file, ServiceCurve([point.batch for point in points], [point.total_s for point in points]))

    @property
    def name(self) -> str:
        return self.file.name

    @property
    def gpu(self) -> str:
        """The GPU's name as in the catalog, or ``cpu``."""
        return self.file.gpu

    @property
    def framework(self) -> str:
        """Copies of the same framework share `framework_base_bytes` on a device."""
        return self.file.framework

    @property
    def max_batch_size(self) -> int:
        return self.file.max_batch_size.value

    @property
    def instance_count(self) -> int:
        """Copies in Triton's instance group; they run batches side by side."""
        return self.file.instance_count.value

    @property
    def preferred_batch_sizes(self) -> tuple[int, ...]:
        return tuple(self.file.preferred_batch_sizes.value)

    @property
    def max_queue_delay_s(self) -> float:
        return self.file.max_queue_delay.value

    @property
    def gpu_share(self) -> float:
        """Part of the device that a running batch takes, in (0, 1]."""
        return self.file.gpu_share.value

    def gpu_share_of(self, batch: int) -> float:
        """The same for a batch of `batch` items, less the gap in which it leaves the device to others."""
        if self.file.gap is None:
            return self.gpu_share
        service_s = self.service_s(batch)
        return self.gpu_share * max(LEAST_BUSY, (service_s - self.file.gap.value) / service_s)

    @property
    def interference_k(self) -> float | None:
        """k in speed = 1 / (1 + k·(n-1)) for n batches running on the device, if it is known."""
        return self.file.interference_k.value if self.file.interference_k else None

    @property
    def prefetched_batches(self) -> int:
        """Batches that are formed ahead while no instance is free, at most."""
        return self.file.prefetched_batches.value if self.file.prefetched_batches else 0

    @property
    def cpu_cores(self) -> float:
        """vCPUs that a running batch takes on a CPU endpoint; 0 for a model on a GPU."""
        return self.file.cpu_cores.value if self.file.cpu_cores else 0.0

    @property
    def overhead_s(self) -> float:
        """Network and front end, added to each answer besides the scenario's own."""
        return self.file.overhead.value

    def frontend_s_of(self, items: int) -> float:
        """Seconds for which a request with `items` items keeps a thread of the server's front end busy."""
        front = self.file.frontend
        return front.per_request.value + items * front.per_item.value if front else 0.0

    @property
    def host_cpu_s(self) -> float:
        """vCPU-seconds of a request with one item, besides the model itself."""
        return self.host_cpu_s_of(1)

    def host_cpu_s_of(self, items: int) -> float:
        """vCPU-seconds of a request with `items` items, besides the model itself."""
        cpu = self.file.host_cpu
        return cpu.per_request.value + items * cpu.per_item.value

    @property
    def gpu_bytes(self) -> int:
        """Device memory of one loaded copy, all its instances; 0 on a CPU."""
        return self.file.gpu_bytes.value

    @property
    def framework_base_bytes(self) -> int:
        """Device memory taken once per device by the framework's first copy, besides the copy."""
        return self.file.framework_base_bytes.value

    @property
    def host_bytes(self) -> int:
        """Host memory of one loaded copy."""
        return self.file.host_bytes.value

    @property
    def artifact_bytes(self) -> int:
        """Size of the .tar.gz."""
        return self.file.artifact_bytes.value

    @property
    def disk_bytes(self) -> int:
        """Size of the extracted files."""
        return self.file.disk_bytes.value

    @property
    def load_fixed_s(self) -> float:
        """All of a load but reading the disk and copying to the device."""
        return self.file.load.fixed.value

    @property
    def load_time_s(self) -> float | None:
        """A whole load from the local disk, if one is known."""
        return self.file.load.time.value if self.file.load.time else None

    def service_s(self, batch: int) -> float:
        """Device time of a batch of `batch` items; never decreasing in it."""
        return self._curve(batch)

    def provenance(self, field: str) -> Origin:
        """How the number at this dotted path of the file is known: ``gpu_bytes``, ``load.fixed``."""
        found = {".".join(path): known for path, known in provenances(self.file)}
        assert field in found, f"{field} is none of {list(found)}"
        known = found[field]
        return Origin(known.basis, self.file.sources[known.source], known.at, known.note)
