"""What stands in for values that nobody publishes. Every value made here carries the mark ``rule``.

* **Visible GPU memory** not measured: the specification's. (A T4 shows 15109 of 16384 MiB inside SageMaker.)
* **Network baseline** not published: 0.3125 Gbit/s per vCPU, the ratio of the c5, m5 and r5 rows; burst the
  same.
* **Disk** without NVMe: a gp2 volume of 30 GB, SageMaker's default for single-model hosting (the volumes of
  multi-model endpoints are larger; their table is not public).
* **Disk rates**: NVMe 1 GB/s read and 0.5 GB/s write, round figures, since no rate is published per type:
  measure yours. EBS: gp2 gives at most 128 MiB/s up to 170 GB, and never more than the type's EBS baseline.
* **Hosting price** where the table says so: the EC2 price x 1.40 (GPU .xlarge), 1.25 (other GPU), 1.20 (CPU).
"""

from __future__ import annotations

from typing import Any

from mmesim.units import MIB, RATE_UNITS

EBS_VOLUME_BYTES = 30 * 10**9
GP2_BPS = 128.0 * MIB
NVME_READ_BPS = 1.0e9
NVME_WRITE_BPS = 0.5e9
NETWORK_BPS_PER_VCPU = 0.3125 * RATE_UNITS["Gbps"]


def hosting_price(name: str, gpu: str | None, ec2_price_per_hour: float) -> float:
    """Dollars per hour by the price rule."""
    factor = 1.20 if gpu is None else 1.40 if name.endswith(".xlarge") else 1.25
    return round(ec2_price_per_hour * factor, 4)


def stand_ins(known: dict[str, Any]) -> dict[str, Any]:
    """Field -> value for the fields of a row that are None in `known` and that a rule can give."""
    values = dict(known)

    def fill(name: str, value: Any) -> None:
        if values.get(name) is None:
            values[name] = value

    if values["gpu"] is not None:
        fill("gpu_count", 1)
        fill("gpu_bytes", values["gpu_nominal_bytes"])
        fill("gpu_nominal_bytes", values["gpu_bytes"])
    if values["vcpus"] is not None:
        fill("network_baseline_bps", values["vcpus"] * NETWORK_BPS_PER_VCPU)
    fill("network_burst_bps", values["network_baseline_bps"])
    fill("disk_kind", "ebs")
    fill("disk_bytes", EBS_VOLUME_BYTES)
    on_nvme = values["disk_kind"] == "nvme"
    ebs_bps = min(GP2_BPS, values["ebs_baseline_bps"] or GP2_BPS)
    fill("disk_read_bps", NVME_READ_BPS if on_nvme else ebs_bps)
    fill("disk_write_bps", NVME_WRITE_BPS if on_nvme else ebs_bps)
    return {name: value for name, value in values.items() if known.get(name) is None and value is not None}
