"""comparison.html: one page that says what can be said of the variants, and the same figures as files."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from mmesim.report.comparison import data, lines, models, rows, scatter, tables
from mmesim.report.comparison.looks import COLOURS, Look, looks, others
from mmesim.report.page import render_page, write_page
from mmesim.report.sheets import Sheet, as_files, on_page
from mmesim.results.comparison import Comparison

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Drawing

    Draw = Callable[[Comparison, dict[str, Look]], Drawing]


def write_comparison_report(comparison: Comparison, path: Path) -> None:
    """Draw the page and put it in place at once."""
    write_page(render_comparison(comparison), path)


def write_comparison_figures(comparison: Comparison, folder: Path,
                             formats: Sequence[str] = ("png", "svg")) -> list[Path]:
    """Each figure of the page as a file in light colours; the same comparison gives the same bytes.

    Returns the paths, in the page's order. Raises InputError: a format that is no kind of figure.
    """
    return as_files(sheets(comparison), folder, formats)


def render_comparison(comparison: Comparison) -> str:
    """The whole page. The same comparison gives the same bytes."""
    all_looks, figures = looks(comparison), on_page(sheets(comparison))
    rankings = models.rankings(comparison)
    return render_page(
        "comparison/template.html", comparison=comparison, about=tables.about(comparison),
        objective=tables.objective(comparison), verdicts=tables.verdicts(comparison), looks=all_looks,
        columns=tables.columns(comparison),
        rows=tables.rows(comparison, all_looks), bound_row=tables.bound_row(comparison, all_looks),
        ranked_by=comparison.metric(comparison.ranked_by).title, figures=figures, model_head=models.HEAD,
        rankings=rankings, opened=models.opened(rankings), runs=tables.runs(comparison),
        downloads=data.downloads(comparison), settings=tables.settings, effort=tables.effort(comparison))


def sheets(comparison: Comparison) -> Iterator[Sheet]:
    """The figures there is something to draw for, in the page's order."""
    all_looks = looks(comparison)

    def sheet(file: str, title: str, caption: str, draw: Draw) -> Sheet:
        return Sheet(file, title, caption, _label(title, caption, comparison), partial(draw, comparison, all_looks))

    behind = others(list(all_looks.values()))
    grey = f" The {behind} ranked last are grey." if behind else ""
    if len(comparison.variants) > 1 and rows.key_metrics(comparison):
        yield sheet("differences", "Differences to the baseline", "The line at 0 is the baseline. A full dot is a "
                    "difference whose sign is known at this confidence, a hollow one is not.", rows.differences)
    if any(variant.sketch.any() for variant in comparison.variants):
        yield sheet("latency-tail", "How many are slower", "Share of answers slower than x, all seeds together, on "
                    "logarithmic scales. Hits and cold starts add up to the left panel; marks on it are quantiles with "
                    f"their intervals. Failures have no latency.{grey}", lines.tails)
    if len(comparison.curve):
        yield sheet("memory-curve", "Hit ratio over memory", "What more memory would bring. How far right a curve must "
                    "go to reach another's height is the memory the better policy saves. Bands are intervals."
                    f"{grey}", lines.memory_curve)
    price = scatter.price_of(comparison)
    if price:
        title = f"p99 latency against {price.title.partition(' (')[0].partition(',')[0]}"
        yield sheet("trade-off", title, f"{price.why} Each variant is a cross of two intervals. The broad line joins "
                    f"those that no other beats in both; where crosses overlap that may be luck.{grey}".strip(),
                    scatter.trade_off)
    if rows.cold_tiers(comparison):
        yield sheet("cold-starts", "Cold starts by where the files were", "Requests of a run that waited for their "
                    "model; the whisker is the interval of their sum.", rows.cold_starts)
    if len(comparison.variants) > 1 and len(comparison.models):
        yield sheet("models", "Every model, against the baseline", _models_caption(comparison),
                    scatter.winners_and_losers)
    if len(comparison.series):
        yield sheet("over-time", "Churn over time", _time_caption(comparison, behind), lines.over_time)


def _models_caption(comparison: Comparison) -> str:
    n, variants = comparison.models["model"].nunique(), len(comparison.variants) - 1
    some = f" The {models.MOST_POINTS:,} models asked for most are drawn, of {n:,}." if n > models.MOST_POINTS else ""
    best = f" The {len(COLOURS)} best variants of {variants}." if variants > len(COLOURS) else ""
    return f"Below the line a model is faster than in the baseline; large dots are asked for more.{some}{best}"


def _time_caption(comparison: Comparison, behind: int) -> str:
    means = "Means over seeds" if len(comparison.seeds) > 1 else "The one seed"
    return (f"{means}: for the shape; what is sure stands in the table. Shaded: warm-up."
            + (f" The {behind} variants ranked last are left out." if behind else ""))


def _label(title: str, caption: str, comparison: Comparison) -> str:
    """For those who cannot see the figure."""
    shown = [variant.name for variant in comparison.variants[:8]]
    more = len(comparison.variants) - len(shown)
    return f"{title}: {'; '.join(shown)}{f' and {more} more' if more else ''}. {caption}"
