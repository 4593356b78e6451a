"""What may be written in a profile: one YAML file for one model on one backend, precision and GPU.

Every number stands with how it is known::

    gpu_bytes: {value: 271MiB, basis: measured, source: mme-bench, at: cell 26}

`basis` is one of

* ``measured``: somebody measured exactly this, on this GPU;
* ``published``: stated by its publisher (a configuration, a file size, a parameter count);
* ``estimated``: derived from a measurement of something similar; `note` says how;
* ``rule``: follows from a rule that the source states.

`source` is a key of the file's own ``sources``, where the full reference stands; `at` is the place in it.

What nobody measured is left out: a scenario that needs it asks for it (:mod:`mmesim.scenario.needs`).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field

from mmesim.settings import Bytes, Count, Duration, Number, Settings

Basis = Literal["measured", "published", "estimated", "rule"]
Batch = Annotated[Duration, Field(le=3600)]
"""Time of one batch: an hour is far beyond any request, and far inside the kernel's int64."""
Positive = Annotated[Count, Field(ge=1)]


class Provenance(Settings):
    """How a number is known."""

    basis: Basis = Field(description="measured, published, estimated or rule")
    source: str = Field(description="a key of `sources`")
    at: str = Field("", description="the place in the source")
    note: str = ""


class Known(Provenance):
    """A value and how it is known. (One class per kind of value, since generic ones cannot be pickled.)"""

    value: Any


class KnownBytes(Known):
    value: Bytes


class KnownDuration(Known):
    """A time; of one that was measured again and again the median, and how far the runs lay apart."""

    value: Duration
    runs: Positive | None = Field(None, description="measurements that `value` is the median of")
    min: Duration | None = None
    max: Duration | None = None


class KnownCount(Known):
    value: Positive


class KnownCountOrZero(Known):
    value: Count


class KnownCounts(Known):
    value: list[Positive]


class KnownNumber(Known):
    value: Number


class HostCpu(Settings):
    """Work of the host's CPUs for one request besides the model: decode, pre- and post-processing."""

    per_request: KnownDuration
    per_item: KnownDuration


class ParallelLoad(Settings):
    """A load beside others."""

    loads: Positive = Field(description="loads at once, all of this model")
    time: KnownDuration = Field(description="of each of them")


class Frontend(Settings):
    """Time of one thread of the server's front end: a request is received, its body turned into tensors."""

    per_request: KnownDuration
    per_item: KnownDuration
    threads: KnownCount | None = Field(None, description="as many as the times were found with")


class Load(Settings):
    """From files on the local disk to ready."""

    fixed: KnownDuration | None = Field(None, description="all of a load but reading the disk and copying to the GPU")
    time: KnownDuration | None = Field(None, description="a whole load, files in the page cache")
    time_cold_cache: KnownDuration | None = Field(None, description="a whole load, files not in the page cache")
    parallel: list[ParallelLoad] = Field(default_factory=list)


class Interference(Settings):
    """What another model that runs on the same device does to this one."""

    beside: str = Field(description="the other model; its own name: another copy of it")
    speed: KnownNumber = Field(description="throughput beside it over throughput alone, both at saturation")


class MeasuredOn(Settings):
    """The machine and the tools of a measurement."""

    gpu: str = ""
    driver: str = ""
    cpu: str = ""
    triton: str = ""
    analyzer: str = Field("", description="version of Model Analyzer")
    date: str = ""
    digest: str = Field("", description="hash of the model's files")


class LatencyPoint(Settings):
    """Device time of one batch, split as Triton splits it; what is not published apart is in `infer`."""

    batch: Positive
    input: Batch = 0.0
    infer: Batch
    output: Batch = 0.0
    at: str = Field("", description="the place in the source, if not the table's")

    @property
    def total_s(self) -> float:
        """Seconds of compute input, infer and output. (TorchScript's output waits for its infer.)"""
        return self.input + self.infer + self.output


class Latency(Provenance):
    """Device time against batch size, one request in flight."""

    batches: list[LatencyPoint] = Field(min_length=1)


class ProfileFile(Settings):
    """One profile."""

    name: str
    model: str
    task: str = ""
    input: str = Field("", description="one item of a request")
    backend: str
    precision: str
    gpu: str = Field(description="the GPU's name as in the catalog, or cpu")
    framework: str = Field(description="copies of one framework share its base memory on a device")
    note: str = ""
    sources: dict[str, str] = Field(min_length=1, description="short key -> full reference")

    measured_on: MeasuredOn | None = None

    max_batch_size: KnownCount
    instance_count: KnownCount
    preferred_batch_sizes: KnownCounts
    max_queue_delay: KnownDuration
    gpu_share: KnownNumber | None = Field(None, description="part of the device a running batch takes: above 0 to 1")
    gap: KnownDuration | None = Field(None, description="part of each batch's time in which the device idles")
    gap_per_item: KnownDuration | None = Field(None, description="and of each item in it: its copies to the device")
    interference_k: KnownNumber | None = Field(None, description="speed of n batches on one device: 1 / (1 + k·(n-1))")
    prefetched_batches: KnownCountOrZero | None = Field(None, description="formed while no instance is free, at most")
    frontend: Frontend | None = Field(None, description="absent: 0, and no request waits there for another")
    cpu_cores: KnownNumber | None = Field(None, description="on a CPU: vCPUs a running batch takes")
    overhead: KnownDuration | None = Field(None, description="network and front end, besides the scenario's")
    host_cpu: HostCpu | None = None
    latency: Latency | None = None
    gpu_bytes: KnownBytes | None = Field(None, description="one loaded copy, all its instances")
    framework_base_bytes: KnownBytes | None = Field(None, description="taken once per device by the framework")
    host_bytes: KnownBytes | None = Field(None, description="host memory of one loaded copy")
    artifact_bytes: KnownBytes | None = Field(None, description="the .tar.gz")
    disk_bytes: KnownBytes | None = Field(None, description="extracted files")
    load: Load | None = None
    unload_time: KnownDuration | None = Field(None, description="from the request until it has gone")
    first_inference: KnownDuration | None = Field(None, description="extra time of the first inference after a load")
    load_slowdown: KnownNumber | None = Field(None, description="inference takes so much longer during a load")
    interference: list[Interference] = Field(default_factory=list)
    extract_time: KnownDuration | None = Field(None, description="unpacking the archive on one CPU")
    download_time: KnownDuration | None = Field(None, description="of the archive, on the machine of the measurement")


def provenances(node: BaseModel,
                prefix: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Provenance]]:
    """(path, provenance) of everything under `node` that is known somehow, in file order."""
    if isinstance(node, Provenance):
        yield prefix, node
        return
    for name in type(node).model_fields:
        child = getattr(node, name)
        places = [(str(n), item) for n, item in enumerate(child)] if isinstance(child, list) else [("", child)]
        for place, one in places:
            if isinstance(one, BaseModel):
                yield from provenances(one, tuple(filter(None, (*prefix, name, place))))
