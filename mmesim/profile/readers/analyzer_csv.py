"""Model Analyzer's CSV files: the inference table, joined with its GPU table and the server-only table.

Tables of all releases are read, by column name: the first ones (2021: one table with ``Max GPU Used Memory(MB)``), the
next (``GPU ID``, ``1/GPU``, ``Preferred Batch Sizes``), and today's. A row of models profiled together gives one point
for each. Throughput counts inferences, and the row `triton-server` is the server without a model.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from mmesim.errors import InputError, Problem
from mmesim.profile.points import OperatingPoint
from mmesim.profile.readers.analyzer_gpus import LOADS, SERVER, UUID, Gpus, tells_of_gpus
from mmesim.profile.readers.naming import instance_group, model_of_variant
from mmesim.profile.readers.reading import Reading, source_name
from mmesim.profile.readers.source import Cell, Figure, Row, Table, each, figures

KIND = "Model Analyzer CSV"
PER_MODEL = {
    **figures("infer/sec", "1", throughput_per_s="throughput"),
    **figures("ms", "1e-3", latency_s="avg latency", p90_s="p90 latency", p95_s="p95 latency", p99_s="p99 latency",
              send_recv_s="client send/recv", queue_s="server queue time", compute_input_s="server compute input time",
              compute_infer_s="server compute infer time", compute_output_s="server compute output time"),
    **figures("MB", "1e6", ram_bytes="ram usage"),
}
BATCHERS = ("preferred batch sizes", "dynamic batcher sizes")
EACH = re.compile(r"(?P<all>[^,\[\]]+),\s*\[(?P<each>[^\[\]]*)\]\Z")


def is_analyzer_table(table: Table) -> bool:
    """Whether Model Analyzer wrote this table, unless it is one of Perf Analyzer's or of a report."""
    return bool({*PER_MODEL, "model config path"} & set(table.units)) or tells_of_gpus(table)


def is_inference(table: Table) -> bool:
    """Whether its rows are measurements of the client, rather than of a GPU."""
    return not set(UUID) & set(table.units) and bool({*LOADS, *PER_MODEL} & set(table.units))


def read_analyzer_tables(tables: list[Table]) -> list[Reading]:
    """One reading for each inference table; the GPU tables among them are joined. Raises InputError."""
    inference = [table for table in tables
                 if is_inference(table) and any(row.text("model") != SERVER for row in table.rows)]
    gpus = Gpus()
    for table in filter(tells_of_gpus, tables):
        gpus.add(table)
    if not inference:
        where = ", ".join(table.path.name for table in tables)
        raise InputError(Problem(f"{where}: GPU rows without an inference table", file=str(tables[0].path),
                                 hint="name metrics-model-inference.csv (the one with Throughput) too, or the folder"))
    readings = [_reading(table, gpus) for table in inference]
    for reading in readings:
        reading.remarks.extend(_remarks(reading, gpus))
    if left := gpus.unjoined():
        readings[0].remarks.append(f"GPU rows of {', '.join(left)} belong to no inference row: not joined")
    return readings


def _reading(table: Table, gpus: Gpus) -> Reading:
    columns = table.figures(PER_MODEL)
    rows = [row for row in table.rows if row.text("model") != SERVER]
    points = each(rows, lambda row: list(_points(row, columns, gpus)))
    return Reading(table.path, KIND, [point for part in points for point in part], batch_known="batch" in table.units)


def _points(row: Row, columns: dict[str, Figure], gpus: Gpus) -> Iterator[OperatingPoint]:
    models = _parts(row["model"])
    count = len(models)
    if count > 1 and not all(cell.text for cell in models):
        raise row["model"].wrong(hint="write the name of each model")
    variants, note = _variants(row["model config path"], count)
    figures_of = [_figures(row, columns, n, count) for n in range(count)]
    settings, on_cpu, notes = _settings(row, count)
    gpu = gpus.of(row)
    for n, model in enumerate(models):
        others = [_neighbour(row, m, models, variants) for m in range(count) if m != n]
        yield OperatingPoint(
            **settings[n], **figures_of[n], **({"gpu": "cpu"} if on_cpu[n] else gpu), **_load(row, n, count),
            model=model.text or model_of_variant(variants[n]), variant=variants[n],
            batch_size=_nth(row["batch"], n, count).count(1) if row.text("batch") else 1,
            co_located=tuple(cell.text for m, cell in enumerate(models) if m != n), source=source_name(row.path),
            at=f"line {row.line}", note="; ".join(filter(None, [note, *notes, *(f"with {other}" for other in others)])))


def _figures(row: Row, columns: dict[str, Figure], n: int, count: int) -> dict[str, Any]:
    """Figures of the n-th of `count` models: ``421.0, [184.5,236.5]`` is the total (or mean) and each model's."""
    found: dict[str, Any] = {}
    for name, figure in columns.items():
        cell = row[name]
        match = EACH.match(cell.text)
        if match:
            cell = _nth(cell.part(match["each"]), n, count)
        elif count > 1 and cell.has_figure and figure.field != "ram_bytes":
            raise cell.wrong(hint=f"of {count} models it must be: total, [one figure for each]")
        if cell.has_figure:
            found[figure.field] = figure.value(cell.number())
    return found


def _parts(cell: Cell) -> list[Cell]:
    return [cell.part(text) for text in cell.text.split(",")]


def _nth(cell: Cell, n: int, count: int) -> Cell:
    """The n-th of a comma list with one entry for each model."""
    parts = _parts(cell)
    if len(parts) != count:
        raise cell.wrong(hint=f"the row is of {count} model{'s' * (count > 1)}: write {count} value{'s' * (count > 1)}")
    return parts[n]


def _variants(cell: Cell, count: int) -> tuple[list[str], str]:
    """The variant of each model, and a note: an ensemble's or BLS model's path names its composing variants."""
    if count == 1:
        variant, _, composing = cell.text.partition(":")
        return [variant.strip()], f"composed of {composing.strip()}" if composing else ""
    parts = _parts(cell)
    if len(parts) == count and ":" not in cell.text:
        return [part.text for part in parts], ""
    return [""] * count, f"variants {cell.text}" if cell.text else ""


def _settings(row: Row, count: int) -> tuple[list[dict[str, Any]], list[bool], list[str]]:
    """Instances and batch limits of each model, and whether it is on the CPU.

    An ensemble's row has the instances of its composing models: they go into a note.
    """
    notes = []
    on_cpu = [False] * count
    result: list[dict[str, Any]] = [{} for _ in range(count)]
    groups = _parts(row["instance group"]) if row.text("instance group") else []
    parsed = [_group(cell) for cell in groups]
    if len(parsed) == count:
        on_cpu = [kinds == {"CPU"} for _, kinds in parsed]
        for settings, (instances, _) in zip(result, parsed, strict=True):
            settings["instance_count"] = instances
    elif groups:
        notes.append(f"instances of the composing models: {row.text('instance group')}")
    limits = _parts(row["max batch size"]) if row.text("max batch size") else []
    if len(limits) == count == len(parsed or limits):
        for settings, cell in zip(result, limits, strict=True):
            settings["max_batch_size"] = cell.count()
    if (name := next(filter(row.text, BATCHERS), "")) and count == 1:
        result[0] |= _preferred(row[name])
    return result, on_cpu, notes


def _group(cell: Cell) -> tuple[int, set[str]]:
    found = instance_group(cell.text)
    if found is None:
        raise cell.wrong(hint="written as 2:GPU, 1/GPU or 1:GPU+2:CPU")
    return found


def _preferred(cell: Cell) -> dict[str, Any]:
    """``[4,8]`` or ``[4 8]``: preferred sizes of the dynamic batcher; ``Enabled`` or ``Disabled`` without any."""
    words = {"enabled": True, "disabled": False, "[]": True, "n/a": None, "none": None}
    if cell.text.lower() in words:
        return {"dynamic_batching": words[cell.text.lower()]}
    sizes = cell.part(re.sub(r"[\s,]+", ",", cell.text.removeprefix("[").removesuffix("]").strip()))
    return {"dynamic_batching": True, "preferred_batch_sizes": tuple(part.count(1) for part in _parts(sizes))}


def _load(row: Row, n: int, count: int) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, field_name in zip(LOADS, ("concurrency", "request_rate_rps"), strict=True):
        if row.text(name):
            cell = _nth(row[name], n, count)
            found[field_name] = cell.count() if name == "concurrency" else float(cell.number())
    return found


def _neighbour(row: Row, n: int, models: list[Cell], variants: list[str]) -> str:
    loads = [f"{name} {_nth(row[name], n, len(models)).text}" for name in LOADS if row.text(name)]
    return ", ".join(filter(None, [models[n].text, variants[n], *loads]))


def _remarks(reading: Reading, gpus: Gpus) -> Iterator[str]:
    points = reading.points
    name = reading.path.name
    if points and all(point.latency_s is None for point in points):
        yield (f"{name} has no mean latency and no server times, so that Little's law cannot be tested: import the "
               "checkpoint, or add perf_latency_avg and perf_server_* to inference_output_fields")
    bare = sum(point.gpu_bytes is None and point.gpu != "cpu" for point in points)
    if bare and gpus.uses:
        yield f"{name}: {bare} of {len(points)} points have no row in the GPU table"
    elif bare:
        yield f"{name} has no GPU table beside it: GPU memory is unknown"
    yield from gpus.remarks(name)
