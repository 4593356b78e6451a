"""The tables and sentences of the page as plain values for its template."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from mmesim.report.comparison.intervals import change, verdict
from mmesim.report.comparison.looks import Look
from mmesim.report.intervals import Shown, shown
from mmesim.report.page import Cell
from mmesim.report.wording import ABSENT, count, number, plural, target_title, target_value
from mmesim.results.comparison import Comparison, Interval, Metric, Variant
from mmesim.results.objective import asked
from mmesim.scenario.objective import Objective
from mmesim.units import format_duration

REGRETS = {"cache.hit_ratio": ("hit ratio, short of the bound", "points"),
           "residency.loads": ("loads above the bound", "ratio"), "load_s": ("load time above the bound", "ratio")}
"""Bound key -> head of its column, unit of the distance."""

MOST_VERDICTS = 8
"""Sentences shown at once: in the order of the claims, so those against the baseline come first."""
MOST_NAMES = 6
"""Variants named as meeting the objective, and as missing it; the table marks all."""


@dataclass(frozen=True)
class Entry:
    """A metric of a variant: the value, and its difference to the baseline."""

    value: float | None
    """What it is sorted by; None: unknown, always last."""
    shown: Shown | None
    change: Shown | None = None
    verdict: str = ""


@dataclass(frozen=True)
class Row:
    """A variant in the main table."""

    name: str
    glyph: str
    role: str
    """``baseline``, ``bound`` or nothing."""
    objective: str
    """``met``, ``missed`` or nothing."""
    entries: list[Entry]


@dataclass(frozen=True)
class Column:
    """A column of the main table."""

    title: str
    better: int
    """-1: less is better, sorted so at the first click."""


def columns(comparison: Comparison) -> list[Column]:
    """One a metric, that of the ranking first, then the distances to the bound."""
    return [*(Column(metric.title, metric.better) for metric in in_order(comparison)),
            *(Column(REGRETS[key][0], -1) for key in regrets(comparison))]


def in_order(comparison: Comparison) -> list[Metric]:
    """The metrics, that of the ranking first."""
    return sorted(comparison.metrics, key=lambda metric: metric.key != comparison.ranked_by)


def regrets(comparison: Comparison) -> list[str]:
    """Bound keys to which some variant has a distance."""
    return [key for key in REGRETS if any(key in variant.regret for variant in comparison.variants)]


def rows(comparison: Comparison, looks: dict[str, Look]) -> list[Row]:
    """The main table, without the bound."""
    return [_row(comparison, variant, looks[variant.name]) for variant in comparison.variants]


def _row(comparison: Comparison, variant: Variant, look: Look) -> Row:
    entries = [_entry(variant, metric) for metric in in_order(comparison)]
    for key in regrets(comparison):
        value = variant.regret.get(key)
        entries.append(_plain(value, REGRETS[key][1]))
    met = {True: "met", False: "missed", None: ""}[variant.met_objective]
    return Row(variant.name, look.glyph, "baseline" if variant is comparison.baseline else "", met, entries)


def _entry(variant: Variant, metric: Metric) -> Entry:
    value, found = variant.values.get(metric.key), change(variant, metric)
    if value is None or not math.isfinite(value.mean):
        return Entry(None, None)
    return Entry(value.mean, shown(value, metric.unit), shown(*found, signed=True) if found else None,
                 verdict(variant, metric))


def _plain(value: Interval | None, unit: str) -> Entry:
    return Entry(None, None) if value is None else Entry(value.mean, shown(value, unit))


def bound_row(comparison: Comparison, looks: dict[str, Look]) -> Row | None:
    """The bound under the metrics it speaks of."""
    bound = comparison.bound
    if bound is None:
        return None
    entries = [_plain(bound.values.get(metric.key), metric.unit) for metric in in_order(comparison)]
    entries += [Entry(None, None)] * len(regrets(comparison))
    return Row(bound.name, looks[bound.name].glyph, "bound", "", entries)


# ---- words


def verdicts(comparison: Comparison) -> tuple[list[str], list[str]]:
    """(those shown at once, those that are folded)."""
    said = list(comparison.verdicts)
    return (said, []) if len(said) <= MOST_VERDICTS else (said[:MOST_VERDICTS], said[MOST_VERDICTS:])


def about(comparison: Comparison) -> list[str]:
    """The line under the title: what was compared, and what every interval means."""
    n, models = len(comparison.seeds), comparison.models["model"].nunique()
    facts = [plural(len(comparison.variants), "variant"), plural(models, "model"), _seeds(comparison)]
    if n > 1:
        facts.append(f"in brackets: {100 * comparison.confidence:g} % intervals of the mean over seeds (Student's t)")
        facts.append("differences paired by seed")
    return facts


def _seeds(comparison: Comparison) -> str:
    numbers = list(comparison.seeds)
    if len(numbers) == 1:
        return f"one seed ({numbers[0]}): no interval"
    run = numbers == list(range(numbers[0], numbers[0] + len(numbers)))
    which = f"{numbers[0]} to {numbers[-1]}" if run else ", ".join(map(str, numbers[:8])) + ("…" if len(numbers) > 8
                                                                                             else "")
    return f"{len(numbers)} seeds ({which})"


def objective(comparison: Comparison) -> dict[str, Any]:
    """The targets in words, and who meets them: {targets, kinds: {met, missed: (first names, how many more)}}; empty
    without an objective."""
    targets = asked(Objective.model_validate(comparison.scenario.get("objective") or {}))
    if not targets:
        return {}
    words = [f"{target_title(each.name)} at most {target_value(each.name, each.limit)}" for each in targets]
    kinds = {kind: [each.name for each in comparison.variants if each.met_objective is met]
             for kind, met in (("met", True), ("missed", False))}
    return {"targets": words, "kinds": {kind: (names[:MOST_NAMES], len(names) - MOST_NAMES)
                                        for kind, names in kinds.items()}}


def settings(variant: Variant) -> str:
    """What is changed in a variant, as it could be given with ``--set``."""
    return "  ".join(f"{path}={value}" for path, value in variant.settings.items())


def effort(comparison: Comparison) -> str:
    """What it took, in one sentence; empty when unknown."""
    timing = comparison.timing
    if "wall_s" not in timing:
        return ""
    parts = [f"Simulated in {format_duration(timing['wall_s'])}"]
    if timing.get("processes"):
        parts.append(f"by {int(timing['processes'])} process{'es' if timing['processes'] > 1 else ''}")
    if timing.get("requests"):
        parts.append(f"for {count(timing['requests'])} requests")
    if timing.get("requests_per_s"):
        parts.append(f"({count(timing['requests_per_s'])} a second)")
    return " ".join(parts) + "."


# ---- every run


def runs(comparison: Comparison) -> dict[str, Any]:
    """The table of single runs: {head, rows of cells}."""
    metrics = [metric for metric in comparison.metrics if metric.key in comparison.cells]
    return {"head": ["variant", "seed", *(metric.title for metric in metrics)],
            "rows": list(_runs(comparison, metrics))}


def _runs(comparison: Comparison, metrics: list[Metric]) -> Iterator[list[Cell]]:
    for record in comparison.cells.to_dict("records"):
        yield [Cell(str(record["variant"]), str(record["variant"])), Cell(str(record["seed"]), record["seed"]),
               *(_single(record[metric.key], metric) for metric in metrics)]


def _single(value: Any, metric: Metric) -> Cell:
    """One run's number: there is no interval of it."""
    if value is None or not np.isfinite(float(value)):
        return Cell(ABSENT, None)
    level = float(value)
    if metric.unit == "" and abs(level) >= 1000:
        return Cell(count(level), level)
    if metric.unit == "":
        return Cell(number(level), level)
    return Cell(shown(Interval(level, -math.inf, math.inf, 1), metric.unit).mean, level)
