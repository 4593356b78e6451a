"""Perf Analyzer's CSV (``perf_analyzer -f FILE``), plain and with ``--verbose-csv``: microseconds, no units written.

It names neither model nor batch size; both may stand in columns in front (``model``, ``batch_size``), as people add
them. The mean latency of a plain file is the sum of its parts, which is how the tool defines them. GPU cells are
``UUID:value;`` for each GPU: utilization from 0 to 1, memory in bytes.
"""

from __future__ import annotations

from typing import Any

from mmesim.profile.points import OperatingPoint
from mmesim.profile.readers.reading import GpuUse, Reading, fullest, source_name
from mmesim.profile.readers.source import Cell, Figure, Row, Table, each, figures, total_s, values

KIND = "Perf Analyzer CSV"
THROUGHPUT = "inferences/second"
FIGURES = {
    **figures("", "1", throughput_per_s=THROUGHPUT, request_rate_rps="request rate"),
    **figures("", "1e-6", network_s="network+server send/recv", queue_s="server queue",
              compute_input_s="server compute input", compute_infer_s="server compute infer",
              compute_output_s="server compute output", latency_s="avg latency", p50_s="p50 latency",
              p90_s="p90 latency", p95_s="p95 latency", p99_s="p99 latency"),
}
CLIENT = figures("", "1e-6", send_s="client send", receive_s="client recv")
PARTS = ("network_s", "queue_s", "compute_input_s", "compute_infer_s", "compute_output_s", "send_recv_s")
GPU_UTILIZATION, GPU_MEMORY = "avg gpu utilization", "max gpu memory usage"
BATCHES = ("batch_size", "batch size", "batch")


def is_perf_table(table: Table) -> bool:
    """Whether Perf Analyzer wrote this table."""
    return THROUGHPUT in table.units


def read_perf_table(table: Table) -> Reading:
    """The points of one table; their model may be missing. Raises InputError with file, line and value."""
    columns, client = table.figures(FIGURES), table.figures(CLIENT)
    points = each(table.rows, lambda row: _point(row, columns, client))
    remarks = []
    if "avg latency" not in columns and any(point.latency_s is not None for point in points):
        remarks.append(f"{table.path.name} is without --verbose-csv: the mean latency is the sum of its parts")
    return Reading(table.path, KIND, points, remarks, batch_known=any(name in table.units for name in BATCHES))


def _point(row: Row, columns: dict[str, Figure], client: dict[str, Figure]) -> OperatingPoint:
    found: dict[str, Any] = values(row, columns)
    ends = values(row, client)
    if len(ends) == len(CLIENT):
        found["send_recv_s"] = total_s(ends.values())
    if "latency_s" not in found and all(part in found for part in PARTS):
        found["latency_s"] = total_s(found[part] for part in PARTS)
    batch = next((row[name].count(1) for name in BATCHES if row.text(name)), 1)
    return OperatingPoint(**found, **_gpu(row), model=row.text("model"), batch_size=batch,
                          concurrency=row.count("concurrency", 1), source=source_name(row.path), at=f"line {row.line}")


def _gpu(row: Row) -> dict[str, Any]:
    used, busy = (_by_uuid(row[name]) for name in (GPU_MEMORY, GPU_UTILIZATION))
    uses = [GpuUse(uuid, int(used[uuid].number()) if uuid in used else None,
                   float(busy[uuid].number()) if uuid in busy else None) for uuid in {**used, **busy}]
    return {"gpu_bytes": fullest(uses).used_bytes, "gpu_utilization": fullest(uses).utilization}


def _by_uuid(cell: Cell) -> dict[str, Cell]:
    """UUID -> value of ``GPU-8557549f:0.045;``."""
    found = {}
    for part in filter(None, cell.text.split(";")):
        uuid, colon, value = part.rpartition(":")
        if not colon:
            raise cell.wrong(hint="written as UUID:value; for each GPU")
        found[uuid.strip()] = cell.part(value)
    return found
