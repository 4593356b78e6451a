"""A comparison in the terminal: one row a variant, baseline first, bound last, every number with its interval."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mmesim.cli.output import page, print_json
from mmesim.report.comparison.intervals import verdict
from mmesim.report.comparison.tables import verdicts
from mmesim.report.intervals import shown
from mmesim.report.wording import format_duration, plural
from mmesim.results.comparison import Comparison, Interval, Metric, Variant

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

KEYS = ("cache.hit_ratio", "latency.all.p99", "cost.per_hour", "requests.error_rate", "latency.all.mean",
        "latency.all.p50", "slo_attainment", "residency.loads", "load_s", "residency.thrash.unloads_per_minute",
        "instances.mean")
"""After what the variants are ranked by: as many as the width has room for, in this order."""
GAP = 2


def show(comparison: Comparison, as_json: bool) -> None:
    """Print the comparison as text, or as one JSON document."""
    if as_json:
        from mmesim.results.comparison_files import as_json as as_document
        print_json(as_document(comparison))
    else:
        with page() as console:
            print_comparison(comparison, console)


def print_comparison(comparison: Comparison, console: Console) -> None:
    """Everything `mmesim compare` says, on one screen."""
    console.print(_head(comparison), highlight=False)
    console.print(_table(comparison, console.width))
    first, folded = verdicts(comparison)
    for sentence in first:
        console.print(f"• {sentence}", highlight=False, markup=False)
    if folded:
        console.print(f"  … and {len(folded)} more in report.html and with --json", style="dim", highlight=False)
    if comparison.bound is not None:
        for sentence in (f"{comparison.bound.name}: {comparison.bound.note}", *comparison.bound.exceptions):
            console.print(sentence, style="dim", highlight=False, markup=False)


def _head(comparison: Comparison) -> str:
    timing, n = comparison.timing, len(comparison.seeds)
    wall = f", {format_duration(timing['wall_s'])}" if timing.get("wall_s") else ""
    return (f"\n[bold]{comparison.name}[/]  {plural(len(comparison.variants), 'variant')}, {plural(n, 'seed')}, "
            f"{plural(timing['requests'], 'request')}{wall}; "
            f"{100 * comparison.confidence:.3g} % intervals; ranked by {comparison.metric(comparison.ranked_by).title}")


def _table(comparison: Comparison, width: int) -> Table:
    from rich import box
    from rich.markup import escape
    from rich.table import Table

    metrics = _fitting(comparison, width)
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, header_style="dim")
    table.add_column("variant", style="cyan", no_wrap=True)
    for metric in metrics:
        table.add_column(metric.title, justify="right", no_wrap=True)
    for variant in comparison.variants:
        table.add_row(escape(_title(comparison, variant)), *(_cell(comparison, variant, metric) for metric in metrics))
    if comparison.bound is not None:
        values = comparison.bound.values
        table.add_row(comparison.bound.name, *(_plain(values.get(metric.key), metric) for metric in metrics),
                      style="italic")
    return table


def _fitting(comparison: Comparison, width: int) -> list[Metric]:
    """The columns that the width has room for; two at least."""
    known = {metric.key: metric for metric in comparison.metrics}
    wanted = [known[key] for key in dict.fromkeys((comparison.ranked_by, *KEYS)) if key in known]
    left = width - max(len(_title(comparison, variant)) for variant in comparison.variants)
    fitting: list[Metric] = []
    for metric in wanted:
        left -= GAP + max(len(metric.title), *(len(_plain(variant.values.get(metric.key), metric))
                                               for variant in comparison.variants))
        if left >= 0 or len(fitting) < 2:
            fitting.append(metric)
    return fitting


def _title(comparison: Comparison, variant: Variant) -> str:
    mark = {True: "", False: " ✗", None: ""}[variant.met_objective]
    return variant.name + (" (baseline)" if variant is comparison.baseline else "") + mark


def _cell(comparison: Comparison, variant: Variant, metric: Metric) -> str:
    """The best of a column is bold; what is not known to differ from the baseline is dim."""
    from rich.markup import escape

    text = escape(_plain(variant.values.get(metric.key), metric))
    better = verdict(variant, metric)
    if variant is not comparison.baseline and not better:
        return f"[dim]{text}[/]"
    best = _best(comparison, metric)
    return f"[bold green]{text}[/]" if best == variant.name else f"[red]{text}[/]" if better == "worse" else text


def _best(comparison: Comparison, metric: Metric) -> str:
    """Name of the variant with the best mean; empty where all are equal, or neither is better."""
    means = {variant.name: variant.values[metric.key].mean for variant in comparison.variants
             if metric.key in variant.values}
    if not metric.better or len(set(means.values())) < 2:
        return ""
    return max(means, key=lambda name: metric.better * means[name])


def _plain(value: Interval | None, metric: Metric) -> str:
    if value is None:
        return "–"
    text = shown(value, metric.unit)
    return text.mean if value.n == 1 else f"{text.mean} {text.interval}"
