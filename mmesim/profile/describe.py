"""A profile as a table: each number, its unit, and how it is known."""

from __future__ import annotations

from typing import Any

from mmesim.profile.model import ModelProfile
from mmesim.profile.schema import Known, Latency, Provenance, provenances
from mmesim.units import MIB


def describe(profile: ModelProfile) -> list[dict[str, Any]]:
    """Rows {field, value, unit, basis, source, note}; values are numbers in `unit`, texts or lists."""
    file = profile.file
    texts = ("name", "model", "task", "input", "backend", "precision", "gpu", "framework", "note")
    rows = [_row(name, getattr(file, name)) for name in texts if getattr(file, name)]
    for path, known in provenances(file):
        name, source = ".".join(path), file.sources[known.source]
        if isinstance(known, Latency):
            rows += [_row(f"{name} of batch {point.batch}", round(point.total_s * 1e3, 4), "ms", known,
                          _cited(source, point.at or known.at)) for point in known.batches]
        elif isinstance(known, Known):
            rows.append(_row(name, *_in_unit(name, known.value), known, _cited(source, known.at)))
    return rows


def _cited(source: str, at: str) -> str:
    return f"{source}, {at}" if at else source


def _row(name: str, value: Any, unit: str = "", known: Provenance | None = None,
         source: str = "") -> dict[str, Any]:
    return {"field": name, "value": value, "unit": unit, "basis": known.basis if known else "",
            "source": source, "note": known.note if known else ""}


def _in_unit(name: str, value: Any) -> tuple[Any, str]:
    """The value in the unit a person would choose, and the unit."""
    if name.endswith("_bytes"):
        return round(value / MIB, 2), "MiB"
    if name.partition(".")[0] in {"max_queue_delay", "overhead", "frontend", "gap", "host_cpu", "load"}:
        return round(value * 1e3, 4), "ms"
    return value, ""
