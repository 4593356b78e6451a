"""What the control plane knows about models, instances and the endpoint before anything happens.

Models and instances are small integers: `model` indexes the scenario's models, `instance` is a slot that is reused
after an instance has gone. Sizes are int bytes, times int nanoseconds unless the name says ``_s``.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

NEVER_NS = (1 << 63) - 1
"""A time that does not come."""
NONE = -1
"""No model, no instance, no request."""


class Tier(IntEnum):
    """Where the bytes of a model were when a request for it arrived."""

    GPU = 0
    """A READY copy: a hit (CloudWatch ModelCacheHit = 1)."""
    DISK = 1
    """On the instance's disk: loaded, not downloaded."""
    S3 = 2
    """Downloaded, extracted and loaded."""


class Failure(IntEnum):
    """How an invocation can end other than by an answer; `http_status` is what the caller sees."""

    NONE = 0
    MODEL_NOT_READY = 1
    """429 ModelNotReadyException: the invocation's time ran out while the model was being loaded."""
    TIMEOUT = 2
    """424 ModelError: no answer in time from a loaded model."""
    THROTTLED = 3
    """503 ServiceUnavailable: refused by the admission policy."""
    QUEUE_FULL = 4
    """424 ModelError: Triton's queue limit or queue timeout rejected it."""
    LOAD_FAILED = 5
    """424 ModelError: the model could not be loaded (error, or no room after the retries)."""
    NO_SUCH_MODEL = 6
    """400 ValidationError: the model is not in the prefix."""
    INSTANCE_LOST = 7
    """503 ServiceUnavailable: the instance died under it, or no instance is in service."""
    MODEL_ERROR = 8
    """424 ModelError: the model was reached and answered with an error of its own; live only."""

    @property
    def http_status(self) -> int:
        """HTTP status of the SageMaker Runtime API."""
        return _HTTP_STATUS[self]


_HTTP_STATUS = {Failure.NONE: 200, Failure.MODEL_NOT_READY: 429, Failure.TIMEOUT: 424, Failure.THROTTLED: 503,
                Failure.QUEUE_FULL: 424, Failure.LOAD_FAILED: 424, Failure.NO_SUCH_MODEL: 400,
                Failure.INSTANCE_LOST: 503, Failure.MODEL_ERROR: 424}


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """One model as the control plane sees it."""

    name: str
    gpu_bytes: int
    """Expected device memory of one copy; 0 on a CPU endpoint."""
    host_bytes: int
    """Host memory of one copy (on a CPU endpoint this is the scarce memory)."""
    artifact_bytes: int
    """Compressed archive in S3."""
    disk_bytes: int
    """Extracted files on the instance's disk."""
    framework: str = ""
    """Models of one framework share its base memory on a device."""
    framework_base_bytes: int = 0
    """Device memory that the first model of the framework takes besides its own."""
    pinned: bool = False
    """Never evicted from memory or disk."""
    reload_disk_s: float = 0.0
    """Expected time from the disk to READY."""
    reload_s3_s: float = 0.0
    """Expected time from S3 to READY."""
    service_s: float = 0.0
    """Expected time of one request alone, for routers that weigh waiting."""


@dataclass(frozen=True, slots=True)
class InstanceSpec:
    """Capacities of one instance that the control plane may fill (thresholds and idle use already taken off)."""

    gpu_bytes: int
    host_bytes: int
    disk_bytes: int

    @property
    def has_gpu(self) -> bool:
        """False on a CPU endpoint: models live in host memory."""
        return self.gpu_bytes > 0


@dataclass(frozen=True, slots=True)
class EndpointSpec:
    """Rules of the endpoint that are not policies."""

    instance: InstanceSpec
    min_instances: int = 1
    max_instances: int = 1
    max_models: int = 0
    """Models in one instance's memory at most; 0: as many as fit."""
    load_threads: int = 4
    download_threads: int = 4
    load_retries: int = 2
    load_timeout_ns: int = 360_000_000_000
    failed_retry_after_ns: int = 60_000_000_000
    drain_timeout_ns: int = 600_000_000_000
    keep_on_disk: bool = True
    model_cache: bool = True
    """False: unload and delete a copy as soon as it is idle (ModelCacheSetting=Disabled)."""
    unload_stalls_admission: bool = False
