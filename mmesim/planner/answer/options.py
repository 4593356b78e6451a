"""Candidates as a plan tells them: what they cost, what they do, why they are not the answer."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from mmesim.planner.plan.search import Search
from mmesim.planner.plan.space import NoArm
from mmesim.planner.plan.trial import Trial
from mmesim.planner.runs.cells import Cell
from mmesim.results.comparison import Interval
from mmesim.results.comparison_interval import interval
from mmesim.results.fleet import HOURS_PER_MONTH
from mmesim.results.plan import Option
from mmesim.results.targets import target_title

FRONT = "latency.all.p99"
"""What stands against cost where the objective names no latency."""


def options(search: Search, not_made: Sequence[NoArm]) -> list[Option]:
    """Everything that was examined, cheapest first, and what was ruled out."""
    seen = [option_of(search, trial) for trial in search.trials.values() if trial.status != "open" or trial.seeds]
    most = search.bench.question.settings.instances.max
    ruled = [Option(f"{one.instances} or more x {one.arm.name}", one.arm.kind.name, one.instances, most,
                    one.arm.settings, "ruled out", one.why, _exactly(one.cost_per_hour * HOURS_PER_MONTH))
             for one in search.ruled_out]
    impossible = [Option(one.name, one.kind.name, 0, 0, one.settings, "ruled out", one.why, None) for one in not_made]
    return [*sorted(seen, key=_cost), *sorted(ruled, key=_cost), *impossible]


def option_of(search: Search, trial: Trial) -> Option:
    """A candidate that was simulated."""
    bench = search.bench
    cells = search.whole(trial)
    fleet = trial.scenario.endpoint.instances
    return Option(
        name=trial.name, instance_type=trial.arm.kind.name, instances=trial.instances,
        most_instances=fleet.max if trial.arm.autoscales else trial.instances, settings=trial.settings,
        status=trial.status, why=trial.why or _why(search, trial, cells),
        cost_per_month=_cost_per_month(search, trial, cells),
        targets=trial.targets or (bench.judged(cells, 0) if cells else ()), values=values(cells, bench.confidence),
        seeds=len(cells), requests=bench.requests_of(trial))


def _why(search: Search, trial: Trial, cells: Sequence[Cell]) -> str:
    """Of a candidate that meets the objective, or whose runs were too few to say so: numbers that were only tried."""
    if trial.status == "met":
        return "meets every target"
    excess, target = max((search.bench.worst(cell) for cell in cells), key=lambda worst: worst[0])
    told = f"beyond the limit of {target_title(target.name)}" if excess > 0 else "within all limits"
    return f"{told} in {len(cells)} run{'s' * (len(cells) > 1)}: too few to decide"


def _cost_per_month(search: Search, trial: Trial, cells: Sequence[Cell]) -> Interval | None:
    if not trial.arm.price_per_hour:
        return None
    if not trial.arm.autoscales:
        return _exactly(trial.instances * trial.arm.price_per_hour * HOURS_PER_MONTH)
    costs = [cell.values["cost.per_hour"] for cell in cells]
    return interval([None if cost is None else cost * HOURS_PER_MONTH for cost in costs], search.bench.confidence)


def _exactly(value: float) -> Interval:
    """Of a number that no seed changes."""
    return Interval(value, value, value, 0)


def values(cells: Sequence[Cell], confidence: float) -> Mapping[str, Interval]:
    """Every number of whole runs with its interval."""
    if not cells:
        return {}
    found = {key: interval([cell.values[key] for cell in cells], confidence) for key in cells[0].values}
    return {key: one for key, one in found.items() if one is not None}


def pareto(found: Iterable[Option], key: str) -> list[str]:
    """Names of the options that no other beats in both cost and `key`, cheapest first."""
    whole = [one for one in found if one.is_whole and one.cost_per_month and key in one.values]
    front: list[Option] = []
    for option in sorted(whole, key=lambda one: (_cost(one), one.values[key].mean)):
        if not front or option.values[key].mean < front[-1].values[key].mean:
            front.append(option)
    return [option.name for option in front]


def _cost(option: Option) -> tuple[bool, float]:
    return option.cost_per_month is None, option.cost_per_month.mean if option.cost_per_month else 0.0
