"""What the trace commands share: reading with progress, and the figures of a trace as rows and as JSON."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmesim.cli.progress import steps

if TYPE_CHECKING:
    from mmesim.workload.analysis.description import Description
    from mmesim.workload.analysis.recorded import Recorded

SIZES = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1024, 1536, 2048, 3072, 4096)
"""Cache sizes of the tables and of the JSON."""
ABSENT = "–"


def read(path: Path) -> Recorded:
    """The trace, with progress."""
    from mmesim.workload.analysis.recorded import read_trace
    from mmesim.workload.trace import trace_facts
    with steps(f"reading {path.name}", trace_facts(path).requests) as done:
        return read_trace(path, progress=done)


def described(requests: Recorded, what: str = "figures") -> Description:
    """Its figures, with progress."""
    from mmesim.workload.analysis.description import describe
    with steps(what, 100) as done:
        return describe(requests, done)


def as_json(figures: Description) -> dict[str, Any]:
    """All figures; the hit ratios at the sizes of `SIZES`."""
    return {**figures.as_json(), "lru_hit_ratio": hit_ratios(figures)}


def hit_ratios(figures: Description) -> dict[int, float]:
    """Cache size (below the number of models) to the hit ratio of LRU."""
    return {size: figures.hit_ratio(size) for size in SIZES if size < figures.models}


def rows(figures: Description) -> list[tuple[str, str]]:
    """Name and value of each figure, as people read them."""
    from mmesim.report.wording import percent
    from mmesim.units import format_count, format_duration

    def number(value: float, unit: str = "") -> str:
        return f"{value:.3g}{unit}" if math.isfinite(value) else ABSENT

    return [
        ("requests", format_count(figures.requests)),
        ("models", format_count(figures.models)),
        ("span", format_duration(figures.span_s)),
        ("mean rate", number(figures.mean_rate_rps, " /s")),
        ("busiest minute / mean", number(figures.peak_minute_ratio)),
        ("share of the first model", percent(figures.top1_share)),
        ("models for 90 % of requests", format_count(figures.models_for_90_percent)),
        ("Zipf s (likelihood | least squares)", f"{number(figures.zipf_s)} | {number(figures.zipf_s_ols)}"),
        ("CV of gaps (all | one model)", f"{number(figures.cv_of_gaps)} | {number(figures.model_cv_of_gaps)}"),
        ("IDC per minute (all | one model)",
         f"{number(figures.idc_per_minute)} | {number(figures.model_idc_per_minute)}"),
        ("P(same model next) (trace | independent)",
         f"{number(figures.same_model_again)} | {number(figures.independent_again)}"),
        ("requests in a row for one model", number(figures.mean_run)),
        ("models in 1,000 requests", number(figures.models_per_1000)),
        ("first requests for a model", percent(figures.first_requests)),
        ("other models until reuse (p50 | p90 | p99)",
         " | ".join(map(number, (figures.reuse_p50, figures.reuse_p90, figures.reuse_p99)))),
        *((f"LRU hit ratio, {size} models fit", percent(ratio)) for size, ratio in shown_sizes(figures).items()),
        *_day(figures),
        ("half | 90 % of the models asked for after",
         f"{format_duration(figures.half_seen_s)} | {format_duration(figures.ninety_percent_seen_s)}")]


def shown_sizes(figures: Description) -> dict[int, float]:
    """The powers of two among the sizes."""
    return {size: ratio for size, ratio in hit_ratios(figures).items() if size & (size - 1) == 0 and size > 1}


def _day(figures: Description) -> list[tuple[str, str]]:
    if not math.isfinite(figures.peak_hour):
        return []
    swing = f"{figures.hour_peak_to_trough:.3g}" if math.isfinite(figures.hour_peak_to_trough) else "to silence"
    rhythm = f"{figures.autocorrelation_24h:.2f}" if math.isfinite(figures.autocorrelation_24h) else ABSENT
    return [("busiest | quietest hour of the day (ratio)",
             f"{figures.peak_hour:.0f} h | {figures.trough_hour:.0f} h ({swing})"),
            ("autocorrelation of hours at 24 h", rhythm)]
