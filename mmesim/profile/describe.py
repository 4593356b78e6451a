"""A profile as a table: each number, its unit, and how it is known."""

from __future__ import annotations

from typing import Any

from mmesim.profile.model import ModelProfile
from mmesim.profile.schema import Known, KnownBytes, KnownDuration, Latency, ProfileFile, Provenance, provenances
from mmesim.units import MIB, format_duration

POOLED = 1e-6
"""A time that moved by more than this part was made monotone."""


def describe(profile: ModelProfile) -> list[dict[str, Any]]:
    """Rows {field, value, unit, basis, source, note}; values are numbers in `unit`, texts or lists."""
    file = profile.file
    texts = ("name", "model", "task", "input", "backend", "precision", "gpu", "framework", "note")
    rows = [_row(name, getattr(file, name)) for name in texts if getattr(file, name)]
    measured_on = file.measured_on.model_dump() if file.measured_on else {}
    rows += [_row(f"measured_on.{name}", value) for name, value in measured_on.items() if value]
    for path, known in provenances(file):
        name, source = _name(file, path), file.sources[known.source]
        if isinstance(known, Latency):
            rows += [_row(f"{name} of batch {point.batch}", _rounded(point.total_s * 1e3), "ms", known,
                          _cited(source, point.at or known.at)) for point in known.batches]
        elif isinstance(known, Known):
            rows.append(_row(name, *_in_unit(known), known, _cited(source, known.at)))
    return rows


def service_rows(profile: ModelProfile) -> list[dict[str, Any]]:
    """Rows {batch, ms, items/s, known}: the curve at the table's batch sizes, then extrapolated at twice and four times
    the last. Empty without latencies.
    """
    latency = profile.file.latency
    if latency is None:
        return []
    sizes = {point.batch: point.total_s for point in latency.batches}
    return [_service_row(profile, size, _how(profile.service_s(size), seconds, latency.basis))
            for size, seconds in sizes.items()] + [
            _service_row(profile, factor * max(sizes), f"extrapolated: {extrapolation(profile)}") for factor in (2, 4)]


def extrapolation(profile: ModelProfile) -> str:
    """The rule beyond the last batch size, in words."""
    each = f"{format_duration(profile.beyond_s)} for each further item"
    points = profile.file.latency.batches if profile.file.latency else []
    if len(points) == 1:
        return f"{each}, in proportion to the only point"
    last, before = points[-1], points[-2]
    slope_s = (profile.service_s(last.batch) - profile.service_s(before.batch)) / (last.batch - before.batch)
    rule = "the last slope" if slope_s >= profile.beyond_s else "half the time per item of the last batch"
    return f"{each}, {rule}"


def _service_row(profile: ModelProfile, batch: int, known: str) -> dict[str, Any]:
    seconds = profile.service_s(batch)
    return {"batch": batch, "ms": _rounded(seconds * 1e3), "items/s": _rounded(batch / seconds), "known": known}


def _how(curve_s: float, table_s: float, basis: str) -> str:
    """The basis; times out of order were pooled with their neighbours'."""
    moved = abs(curve_s / table_s - 1) > POOLED
    return f"{basis}; {_rounded(table_s * 1e3)} ms before it was pooled with its neighbours" if moved else basis


def _rounded(value: float) -> float:
    """Five significant digits."""
    return float(f"{value:.5g}")


def _name(file: ProfileFile, path: tuple[str, ...]) -> str:
    """The dotted path; an element of a list is called by what it is about."""
    match path:
        case "interference", index, leaf:
            return f"{leaf} beside {file.interference[int(index)].beside}"
        case "load", "parallel", index, leaf if file.load:
            return f"load.{leaf}, {file.load.parallel[int(index)].loads} at once"
    return ".".join(path)


def _cited(source: str, at: str) -> str:
    return f"{source}, {at}" if at else source


def _row(name: str, value: Any, unit: str = "", known: Provenance | None = None,
         source: str = "") -> dict[str, Any]:
    return {"field": name, "value": value, "unit": unit, "basis": known.basis if known else "",
            "source": source, "note": _note(known) if known else ""}


def _note(known: Provenance) -> str:
    """The note, and how far repeated measurements lay apart."""
    if not isinstance(known, KnownDuration) or known.runs is None or known.min is None or known.max is None:
        return known.note
    spread = f"median of {known.runs} runs, {format_duration(known.min)} to {format_duration(known.max)}"
    return "; ".join(filter(None, (spread, known.note)))


def _in_unit(known: Known) -> tuple[Any, str]:
    """The value in the unit a person would choose, and the unit."""
    if isinstance(known, KnownBytes):
        return round(known.value / MIB, 2), "MiB"
    if isinstance(known, KnownDuration):
        return _rounded(known.value * 1e3), "ms"
    return known.value, ""
