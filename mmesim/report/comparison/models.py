"""Which models a variant serves faster or slower than the baseline, weighted by how often they are asked for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mmesim.report.page import Cell
from mmesim.report.wording import count, ms, percent
from mmesim.results.comparison import Comparison

if TYPE_CHECKING:
    from pandas import DataFrame

MOST = 10
"""Winners, and losers, in a table."""
MOST_POINTS = 1200
"""Models in a scatter plot, those most asked for: more would be one blot."""


def against_baseline(comparison: Comparison, name: str) -> DataFrame:
    """One row a model answered in both: model, invocations, before_ms, after_ms, saved_s (of all its requests of a run,
    negative when it lost), hits_before, hits_after, loads_before, loads_after."""
    columns = ["model", "invocations", "mean_ms", "hit_ratio", "loads"]
    tables = [comparison.models.loc[comparison.models["variant"] == each, columns] for each in
              (comparison.baseline.name, name)]
    both = tables[0].merge(tables[1], on="model", suffixes=("_before", "_after"))
    both = both[both["mean_ms_before"].gt(0) & both["mean_ms_after"].gt(0)]
    saved_s = both["invocations_before"] * (both["mean_ms_before"] - both["mean_ms_after"]) / 1e3
    return both.rename(columns={
        "invocations_before": "invocations", "mean_ms_before": "before_ms", "mean_ms_after": "after_ms",
        "hit_ratio_before": "hits_before", "hit_ratio_after": "hits_after"}).assign(saved_s=saved_s)


@dataclass(frozen=True)
class Ranking:
    """The models that gain and lose most in one variant."""

    variant: str
    winners: Sequence[Sequence[Cell]]
    losers: Sequence[Sequence[Cell]]
    summary: str
    """``120 of 200 models are faster, 80 slower``."""


HEAD = ("model", "requests a run", "mean latency, baseline", "mean latency, here", "change", "waiting saved a run",
        "hit ratio, baseline", "hit ratio, here", "loads, baseline", "loads, here")


def rankings(comparison: Comparison) -> list[Ranking]:
    """One for each variant but the baseline, in the ranking's order."""
    return [_ranking(comparison, variant.name) for variant in comparison.variants[1:]]


def opened(rankings: Sequence[Ranking]) -> str:
    """The variant whose models are shown unfolded: the best in which any model differs."""
    return next((each.variant for each in rankings if each.winners or each.losers), "")


def _ranking(comparison: Comparison, name: str) -> Ranking:
    models = against_baseline(comparison, name)
    faster, slower = models[models["saved_s"] > 0], models[models["saved_s"] < 0]
    summary = (f"{count(len(faster))} of {count(len(models))} models are faster on the mean of their requests, "
               f"{count(len(slower))} slower") if len(faster) or len(slower) else "no model is faster or slower"
    return Ranking(name, [_cells(row) for row in faster.nlargest(MOST, "saved_s").to_dict("records")],
                   [_cells(row) for row in slower.nsmallest(MOST, "saved_s").to_dict("records")], summary)


def _cells(row: dict[Any, Any]) -> list[Cell]:
    change = row["after_ms"] / row["before_ms"] - 1
    saved = row["saved_s"]
    return [Cell(row["model"], row["model"]), Cell(count(row["invocations"]), row["invocations"]),
            Cell(ms(row["before_ms"]), row["before_ms"]), Cell(ms(row["after_ms"]), row["after_ms"]),
            Cell(f"{'+' if change > 0 else '−'}{percent(abs(change))}", change),
            Cell(("" if saved > 0 else "−") + ms(1e3 * abs(saved)), saved),
            Cell(percent(row["hits_before"]), row["hits_before"]), Cell(percent(row["hits_after"]), row["hits_after"]),
            Cell(count(row["loads_before"]), row["loads_before"]), Cell(count(row["loads_after"]), row["loads_after"])]
