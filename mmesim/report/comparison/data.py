"""The numbers behind the page, to take along: CSV and JSON as data URIs, so that a download needs no network."""

from __future__ import annotations

import json
from dataclasses import asdict

from mmesim.report.page import Download, data_uri
from mmesim.results.comparison import Comparison, Interval
from mmesim.results.comparison_files import as_json
from mmesim.results.summary import rounded


def downloads(comparison: Comparison) -> list[Download]:
    """Means with intervals, every run, and everything as JSON."""
    name = comparison.name
    return [Download(f"{name}-variants.csv", "means, intervals and differences (CSV)",
                     data_uri("text/csv", variants_csv(comparison))),
            Download(f"{name}-runs.csv", "every run (CSV)", data_uri("text/csv", comparison.cells.to_csv(index=False))),
            Download(f"{name}.json", "all of it (JSON)", data_uri("application/json", whole_json(comparison)))]


def variants_csv(comparison: Comparison) -> str:
    """One row a variant and metric; what is unknown is empty."""
    import pandas as pd

    return pd.DataFrame([
        {"variant": variant.name, "metric": metric.key, "unit": metric.unit,
         **_ends("", variant.values.get(metric.key)), **_ends("difference_", variant.differences.get(metric.key)),
         **_ends("relative_", variant.relative.get(metric.key)), **_ends("regret_", variant.regret.get(metric.key))}
        for variant in comparison.variants for metric in comparison.metrics]).to_csv(index=False)


def _ends(prefix: str, value: Interval | None) -> dict[str, float | None]:
    plain = rounded(asdict(value)) if value else {}
    return {prefix + name: plain.get(name) for name in ("mean", "low", "high")}


def whole_json(comparison: Comparison) -> str:
    """Everything but the tables of models and of time, which are saved beside the page."""
    tables = {name: rounded(getattr(comparison, name).to_dict("records")) for name in ("cells", "curve")}
    return json.dumps({**as_json(comparison), **tables}, default=str, ensure_ascii=False, allow_nan=False)
