"""Reads the packaged table of instance types (`instances.csv`; its head says where the numbers are from)."""

from __future__ import annotations

import csv
from dataclasses import dataclass, field, fields
from functools import cache
from importlib.resources import files
from typing import Any

from mmesim.catalog.instance import InstanceType, Mark
from mmesim.catalog.rules import hosting_price
from mmesim.units import BYTE_UNITS, GIB, MIB, RATE_UNITS

EC2_DATE = "2026-07-20"
PRICE_SOURCES: dict[str, tuple[str, str]] = {
    "P": ("AWS Pricing API, us-east-1", "2026-08-17"),
    "W": ("price list of us-west-2, training and transform", "2026"),
    "T": ("public price tables", "2024"),
    "rule": ("rule on the EC2 price", EC2_DATE),
    "": ("no hosting price found", EC2_DATE),
}
"""Key in `ml_from` -> (source of the hosting price, its date)."""

VALUE_FIELDS = tuple(item.name for item in fields(InstanceType) if item.name not in
                     {"name", "note", "source", "date", "marks"})


@dataclass
class Row:
    """An instance type as far as it is known; a value that is not known is None."""

    values: dict[str, Any] = field(default_factory=lambda: dict.fromkeys(VALUE_FIELDS))
    marks: dict[str, Mark] = field(default_factory=dict)
    note: str = ""
    source: str = ""
    date: str = ""

    def set(self, name: str, value: Any, mark: Mark) -> None:
        """Writes one value with its mark; None leaves the field unknown."""
        assert name in self.values, name
        if value is not None:
            self.values[name], self.marks[name] = value, mark


@cache
def packaged_text() -> str:
    """The packaged table, its explaining head included."""
    return files("mmesim.catalog").joinpath("instances.csv").read_text(encoding="utf-8")


def packaged_rows() -> dict[str, Row]:
    """Type -> what is published about it."""
    lines = (line for line in packaged_text().splitlines() if not line.startswith("#"))
    return {cells["name"]: _row(cells) for cells in csv.DictReader(lines)}


def _row(cells: dict[str, str]) -> Row:
    origin, date = PRICE_SOURCES[cells["ml_from"]]
    row = Row(note=cells["note"], source=f"EC2 types and prices ({EC2_DATE}); price: {origin}", date=date)
    _set_hardware(row, cells)
    ec2, hosting = _number(cells["ec2_usd"]), _number(cells["ml_usd"])
    row.set("ec2_price_per_hour", ec2, "quoted")
    row.set("price_per_hour", hosting, "quoted")
    if cells["ml_from"] == "rule" and ec2 is not None:
        row.set("price_per_hour", hosting_price(cells["name"], cells["gpu"] or None, ec2), "rule")
    row.set("mme_gpu_listed", cells["mme_gpu"] == "yes", "quoted")
    return row


def _set_hardware(row: Row, cells: dict[str, str]) -> None:
    row.set("vcpus", int(cells["vcpus"]) if cells["vcpus"] else None, "quoted")
    row.set("ram_bytes", _scaled(cells["ram_gib"], GIB), "quoted")
    row.set("gpu", cells["gpu"] or None, "quoted")
    row.set("gpu_count", int(cells["gpus"] or 0), "quoted")
    row.set("gpu_nominal_bytes", _scaled(cells["gpu_mib"] or "0", MIB), "quoted")
    row.set("gpu_bytes", _scaled(cells["gpu_visible_mib"], MIB), "measured")
    if not cells["gpu"]:
        row.set("gpu_bytes", 0, "quoted")
    row.set("disk_bytes", _scaled(cells["nvme_gb"], BYTE_UNITS["GB"]), "quoted")
    row.set("disk_kind", "nvme" if cells["nvme_gb"] else "ebs", "quoted")
    _set_pair(row, "network_baseline_bps", "network_burst_bps", cells["net_gbps"], RATE_UNITS["Gbps"])
    _set_pair(row, "ebs_baseline_bps", "ebs_max_bps", cells["ebs_mbps"], RATE_UNITS["MB/s"])


def _set_pair(row: Row, baseline: str, most: str, cell: str, unit: float) -> None:
    """Writes ``baseline/maximum``, or one number for both."""
    if cell:
        low, _, high = cell.partition("/")
        row.set(baseline, float(low) * unit, "quoted")
        row.set(most, float(high or low) * unit, "quoted")


def _number(cell: str) -> float | None:
    return float(cell) if cell else None


def _scaled(cell: str, unit: int) -> int | None:
    return int(cell) * unit if cell else None
