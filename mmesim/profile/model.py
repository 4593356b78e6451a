"""A profile as the simulator uses it: plain numbers in base units, and where each of them is from.

Numbers that nobody measured are None here, or asserted to be there where only a simulation asks for them: a scenario
whose profiles lack something is refused at the door (:mod:`mmesim.scenario.needs`).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from mmesim.profile.curve import ServiceCurve
from mmesim.profile.schema import Known, ProfileFile, provenances

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
    _curve: ServiceCurve | None = field(repr=False, compare=False)

    @classmethod
    def of(cls, file: ProfileFile) -> ModelProfile:
        """The profile that a checked file describes."""
        points = file.latency.batches if file.latency else []
        curve = ServiceCurve([point.batch for point in points], [point.total_s for point in points]) if points else None
        return cls(file, curve)

    def _value(self, name: str) -> Any:
        """The number of this name; None when it is not known."""
        known: Known | None = getattr(self.file, name)
        return known.value if known else None

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
    def gpu_share(self) -> float | None:
        """Part of the device that a running batch takes, in (0, 1]."""
        return self._value("gpu_share")

    def gpu_share_of(self, batch: int) -> float:
        """The same for a batch of `batch` items, less the gap in which it leaves the device to others."""
        share = self.gpu_share
        assert share is not None, f"{self.name} has no gpu_share"
        if not self.has_gap:
            return share
        gap, per_item, service_s = self.file.gap, self.file.gap_per_item, self.service_s(batch)
        idle_s = (gap.value if gap else 0.0) + batch * (per_item.value if per_item else 0.0)
        return share * max(LEAST_BUSY, (service_s - idle_s) / service_s)

    @property
    def has_gap(self) -> bool:
        """Whether the share depends on the size of the batch."""
        return self.file.gap is not None or self.file.gap_per_item is not None

    def device_s(self, batch: int) -> float:
        """Seconds of the whole device that a batch of `batch` items takes: its time, times its share."""
        return self.service_s(batch) * self.gpu_share_of(batch)

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
        return self._value("cpu_cores") or 0.0

    @property
    def overhead_s(self) -> float | None:
        """Network and front end, added to each answer besides the scenario's own."""
        return self._value("overhead")

    def frontend_s_of(self, items: int) -> float:
        """Seconds for which a request with `items` items keeps a thread of the server's front end busy."""
        front = self.file.frontend
        return front.per_request.value + items * front.per_item.value if front else 0.0

    @property
    def frontend_threads(self) -> int:
        """Threads of the front end that its times were found with."""
        front = self.file.frontend
        return front.threads.value if front and front.threads else 1

    @property
    def host_cpu_s(self) -> float:
        """vCPU-seconds of a request with one item, besides the model itself."""
        return self.host_cpu_s_of(1)

    def host_cpu_s_of(self, items: int) -> float:
        """vCPU-seconds of a request with `items` items, besides the model itself."""
        cpu = self.file.host_cpu
        assert cpu is not None, f"{self.name} has no host_cpu"
        return cpu.per_request.value + items * cpu.per_item.value

    @property
    def gpu_bytes(self) -> int | None:
        """Device memory of one loaded copy, all its instances; 0 or None on a CPU."""
        return self._value("gpu_bytes")

    @property
    def framework_base_bytes(self) -> int | None:
        """Device memory taken once per device by the framework's first copy, besides the copy."""
        return self._value("framework_base_bytes")

    @property
    def host_bytes(self) -> int | None:
        """Host memory of one loaded copy."""
        return self._value("host_bytes")

    @property
    def artifact_bytes(self) -> int | None:
        """Size of the .tar.gz."""
        return self._value("artifact_bytes")

    @property
    def disk_bytes(self) -> int | None:
        """Size of the extracted files."""
        return self._value("disk_bytes")

    @property
    def load_fixed_s(self) -> float | None:
        """All of a load but reading the disk and copying to the device."""
        load = self.file.load
        return load.fixed.value if load and load.fixed else None

    @property
    def load_time_s(self) -> float | None:
        """A whole load from the local disk, files in the page cache."""
        load = self.file.load
        return load.time.value if load and load.time else None

    @property
    def unload_time_s(self) -> float | None:
        """From the request to unload until the model has gone."""
        return self._value("unload_time")

    @property
    def load_slowdown(self) -> float | None:
        """A running inference takes so much longer while another model loads."""
        return self._value("load_slowdown")

    @property
    def first_inference_s(self) -> float | None:
        """Extra time of the first inference after a load."""
        return self._value("first_inference")

    def service_s(self, batch: int) -> float:
        """Device time of a batch of `batch` items; never decreasing in it."""
        assert self._curve is not None, f"{self.name} has no latency"
        return self._curve(batch)

    @property
    def beyond_s(self) -> float:
        """Seconds of device time of each item beyond the last batch size of the table."""
        assert self._curve is not None, f"{self.name} has no latency"
        return self._curve.slope_s

    def provenance(self, field: str) -> Origin:
        """How the number at this dotted path of the file is known: ``gpu_bytes``, ``load.fixed``."""
        found = {".".join(path): known for path, known in provenances(self.file)}
        assert field in found, f"{field} is none of {list(found)}"
        known = found[field]
        return Origin(known.basis, self.file.sources[known.source], known.at, known.note)
