"""One instance type: what the hardware is, what it costs, and how each value is known."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Mark = Literal["quoted", "measured", "rule", "missing", "user"]
"""How a value is known: quoted by its source, measured by someone, by a rule (`mmesim.catalog.rules`), not
published, given by the user."""


@dataclass(frozen=True, slots=True)
class InstanceType:
    """A row of the catalog. Sizes in bytes, rates in bytes per second, prices in US dollars per hour."""

    name: str
    vcpus: int
    ram_bytes: int
    gpu: str | None
    gpu_count: int
    gpu_bytes: int
    """Memory one GPU shows inside an endpoint; 0 without a GPU."""
    gpu_nominal_bytes: int
    """Memory of one GPU in its specification."""
    disk_bytes: int
    disk_kind: Literal["nvme", "ebs"]
    disk_read_bps: float
    disk_write_bps: float
    network_baseline_bps: float
    network_burst_bps: float
    ebs_baseline_bps: float | None
    ebs_max_bps: float | None
    price_per_hour: float | None
    """Real-time hosting (``ml.``); None when no price is known."""
    committed_1y_per_hour: float | None
    """The same under a Savings Plan of one year; None in the packaged table, where no such price could be sourced."""
    committed_3y_per_hour: float | None
    """Of three years."""
    ec2_price_per_hour: float | None
    mme_gpu_listed: bool
    """Named by the Developer Guide as a type for multi-model endpoints with a GPU."""
    note: str
    source: str
    date: str
    marks: Mapping[str, Mark] = field(compare=False)
    """Field name -> how its value is known."""
