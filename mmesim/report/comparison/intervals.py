"""Differences to the baseline as a reader wants them, and what they say."""

from __future__ import annotations

from mmesim.report.intervals import scaled
from mmesim.results.comparison import Comparison, Interval, Metric, Variant


def change(variant: Variant, metric: Metric) -> tuple[Interval, str] | None:
    """The difference to the baseline that a reader wants, and its unit: of a ratio in points, else in per cent of the
    baseline, or as it is where the baseline is 0; None when it is not known."""
    key = metric.key
    if metric.unit in ("ratio", "%"):
        value, unit = variant.differences.get(key), "points"
        scale = 1.0 if metric.unit == "ratio" else 0.01
        return None if value is None else (scaled(value, scale), unit)
    if key in variant.relative:
        return variant.relative[key], "ratio"
    return (variant.differences[key], metric.unit) if key in variant.differences else None


def verdict(variant: Variant, metric: Metric) -> str:
    """``better``, ``worse``, or nothing: the sign of the `change` that is shown is unknown, or neither is better."""
    found = change(variant, metric)
    if found is None or not found[0].excludes_zero or not metric.better:
        return ""
    return "better" if (found[0].mean > 0) == (metric.better > 0) else "worse"


def known(comparison: Comparison, key: str) -> bool:
    """Whether the comparison has this metric."""
    return any(metric.key == key for metric in comparison.metrics)
