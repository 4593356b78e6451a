"""What has happened in the world, in the past tense. Frozen values: they can be compared, stored and replayed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from mmesim.core.types import ModelSpec


@dataclass(frozen=True, slots=True)
class ModelMissed:
    """A request arrived for which no copy is READY or on its way; it waits for our answer."""

    model: int
    instance: int = -1
    """The instance a blind router has chosen; -1 when placement is ours."""


@dataclass(frozen=True, slots=True)
class CopyWished:
    """The router would like one more copy of a busy model; the request itself is served."""

    model: int


@dataclass(frozen=True, slots=True)
class DownloadFinished:
    """Archive downloaded and extracted."""

    instance: int
    model: int
    extract_ns: int = 0
    """How long the extraction took of it."""
    disk_bytes: int = 0
    """What the files really take; 0: what was expected."""


@dataclass(frozen=True, slots=True)
class DownloadFailed:
    """Given up by the downloader after its own attempts."""

    instance: int
    model: int
    reason: str


@dataclass(frozen=True, slots=True)
class LoadFinished:
    """The server says READY."""

    instance: int
    model: int
    gpu_bytes: int
    """Device memory it really takes."""
    host_bytes: int


@dataclass(frozen=True, slots=True)
class LoadFailed:
    """The server refused or gave up."""

    instance: int
    model: int
    out_of_memory: bool
    reason: str


@dataclass(frozen=True, slots=True)
class UnloadFinished:
    """The server says the model is gone and its memory is free."""

    instance: int
    model: int


@dataclass(frozen=True, slots=True)
class CopyIdle:
    """A watched copy has no request left."""

    instance: int
    model: int


@dataclass(frozen=True, slots=True)
class InstanceJoined:
    """An instance is in service, empty."""

    instance: int
    zone: int = 0


@dataclass(frozen=True, slots=True)
class InstanceLost:
    """An instance died with all it held."""

    instance: int
    reason: str


@dataclass(frozen=True, slots=True)
class InstanceDrained:
    """A draining instance has no request left."""

    instance: int


@dataclass(frozen=True, slots=True)
class ModelAdded:
    """The model's archive is in the prefix now."""

    model: int


@dataclass(frozen=True, slots=True)
class ModelRemoved:
    """The model's archive was deleted from the prefix; copies go on serving."""

    model: int


@dataclass(frozen=True, slots=True)
class ModelDescribed:
    """What is known of a model, from now on: of a number that no model had, or of a new version of its archive."""

    model: int
    spec: ModelSpec


@dataclass(frozen=True, slots=True)
class CopyFound:
    """Something is on an instance that the endpoint does not know of: a server outlived its endpoint, or kept its disk.
    """

    instance: int
    model: int
    loaded: bool
    """True: READY in the server; False: its files are on the disk."""
    gpu_bytes: int = 0
    host_bytes: int = 0
    disk_bytes: int = 0


@dataclass(frozen=True, slots=True)
class CopyLost:
    """A READY copy is gone from its server, or files from the disk, without the endpoint's doing."""

    instance: int
    model: int
    on_disk: bool
    """True: the files are still there."""


@dataclass(frozen=True, slots=True)
class MetricsPublished:
    """CloudWatch shows the datapoints of one period."""

    period_end_ns: int
    values: Mapping[str, float] = field(default_factory=dict)
    """Keyed ``Name.Statistic``, e.g. ``GPUUtilization.Average``; a metric without data is absent."""


@dataclass(frozen=True, slots=True)
class Tick:
    """Time has passed: the deadline named by ``next_deadline_ns`` is here."""


Event: TypeAlias = (ModelMissed | CopyWished | DownloadFinished | DownloadFailed | LoadFinished | LoadFailed
                    | UnloadFinished | CopyIdle | InstanceJoined | InstanceLost | InstanceDrained | ModelAdded
                    | ModelRemoved | ModelDescribed | CopyFound | CopyLost | MetricsPublished | Tick)
