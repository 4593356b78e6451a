"""What Model Analyzer's tables tell of GPUs: the GPU table, the server-only rows, and where they belong.

Memory is of the whole GPU. Columns headed ``Max GPU ...(MB)`` (the first releases) hold what DCGM gave, which is MiB:
in their samples used and free memory of a TITAN RTX add up to 24219, its size in MiB (model_analyzer docs @3ed8d450:
279 + 23940, 700 + 23519; pull request 76: 9695 + 14524). Later columns hold 10^6 bytes, but for some releases that
wrote `GPU ID` and still asked DCGM.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from mmesim.profile.readers.reading import GpuUse, fullest
from mmesim.profile.readers.source import Row, Table, each, figures, values

SERVER = "triton-server"
UUID = ("gpu uuid", "gpu id")
LOADS = ("concurrency", "request rate")
MIB = str(2**20)
PER_GPU = {**figures("MB", "1e6", gpu_bytes="gpu memory usage"), **figures("MB", MIB, gpu_bytes="max gpu used memory"),
           **figures("MB", MIB, gpu_bytes="max gpu memory usage"),
           **figures("%", "1e-2", gpu_utilization="gpu utilization")}
Key = tuple[str, ...]


def tells_of_gpus(table: Table) -> bool:
    """Whether there are GPU figures in this table."""
    return bool({*UUID, *PER_GPU} & set(table.units))


@dataclass
class Gpus:
    """Everything that is known of GPUs, to be looked up by row."""

    uses: dict[Key, list[GpuUse]] = field(default_factory=lambda: defaultdict(list))
    idle: dict[str, int] = field(default_factory=dict)
    joined: set[Key] = field(default_factory=set)

    def add(self, table: Table) -> None:
        """Take in the rows that tell of a GPU."""
        columns = table.figures(PER_GPU)
        for row, found in zip(table.rows, each(table.rows, lambda row: values(row, columns)), strict=True):
            used: Any = found.get("gpu_bytes")
            use = GpuUse(row.text(*UUID), used, found.get("gpu_utilization"))
            if row.text("model") != SERVER:
                self.uses[_key(row)].append(use)
            elif use.used_bytes is not None:
                self.idle[use.uuid] = use.used_bytes

    def of(self, row: Row) -> dict[str, Any]:
        """Fields of the GPU that stands for this row."""
        self.joined.add(_key(row))
        use = fullest(self.uses.get(_key(row), []))
        return {"gpu_bytes": use.used_bytes, "gpu_utilization": use.utilization,
                "idle_gpu_bytes": self.idle.get(use.uuid)}

    def unjoined(self) -> list[str]:
        """Models whose GPU rows belong to no inference row."""
        return sorted({key[0] for key in set(self.uses) - self.joined})

    def remarks(self, name: str) -> Iterator[str]:
        """What is worth knowing of the GPU figures of one inference table."""
        uses = [use for found in self.uses.values() for use in found]
        if any(len({use.uuid for use in found}) > 1 for found in self.uses.values()):
            yield f"{name}: measured on several GPUs; memory and utilization are of the fullest, throughput is of all"
        if any(use.uuid.isdecimal() for use in uses):
            yield (f"{name}: releases that wrote GPU ID took memory from DCGM, in MiB, or from Triton, in 10^6 bytes, "
                   "and headed both MB; it is read as 10^6 bytes and may be 4.9 % more")
        if any(use.used_bytes is not None for use in uses) and not self.idle:
            yield f"{name}: no server-only row, so that the memory of the idle server is unknown"


def _key(row: Row) -> Key:
    """What an inference row and its GPU rows have in common."""
    return tuple(re.sub(r"\s+", "", row.text(name)) for name in ("model", "model config path", "batch", *LOADS))
