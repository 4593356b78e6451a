"""A mixed fleet: the most asked models on endpoints of their own, the tail on a smaller multi-model endpoint.

The split is by arithmetic (for 1, 2, 4 … of the most asked models: what their own endpoints cost at a staffing that the
estimate says meets the objective, and the tail's estimate); the cheapest split that promises to save is then simulated
(the cheapest of all where no fleet on one endpoint meets the objective):
the tail is sized like any plan, and every endpoint of a hot model on its own part of the very same requests. Each
endpoint has to meet the objective on its own, which is more than is asked of all together.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from math import inf
from typing import Any

import numpy as np

from mmesim.planner.analytic import demand, likely_instances
from mmesim.planner.plan.race import race
from mmesim.planner.plan.search import Search
from mmesim.planner.plan.space import Arm
from mmesim.planner.plan.trial import Trial, Windows, busiest_s
from mmesim.results.fleet import HOURS_PER_MONTH
from mmesim.results.plan import Alternative
from mmesim.scenario.schema import Scenario

MOST = 32
"""Hot models with endpoints of their own, at most."""


@dataclass(frozen=True)
class Split:
    """So many of the most asked models, and the rest."""

    hot: Sequence[str]
    tail: Sequence[str]
    cost_per_hour: float
    """By arithmetic."""


def mixed(search: Search, subject: Trial) -> Alternative | None:
    """The best split, simulated where arithmetic says that it may save; None where nothing can be split."""
    scenario = subject.scenario
    if subject.arm.autoscales or scenario.workload.clients is not None or scenario.workload.only is not None:
        return None
    splits = list(_splits(search, subject))
    if not splits:
        return None
    best = min(splits, key=lambda one: one.cost_per_hour)
    cost = search.cost_per_hour(subject) if search.best else inf
    if best.cost_per_hour >= cost:
        why = f"{_models(best.hot)} on endpoints of their own and the rest together would not cost less, by arithmetic"
        return Alternative("mixed fleet", True, best.cost_per_hour * HOURS_PER_MONTH, None, why)
    return _simulated(search, subject, best)


def _splits(search: Search, chosen: Trial) -> Iterator[Split]:
    names = [name for group in chosen.scenario.models for name in group.names()]
    order = np.argsort(-search.demand.rates_rps, kind="stable")
    count = 1
    while count < len(names) and count <= MOST:
        hot, tail = [names[i] for i in order[:count]], [names[i] for i in order[count:]]
        cost = sum(_guess(search, chosen.arm, part) for part in [*([name] for name in hot), tail])
        yield Split(hot, tail, cost)
        count *= 2


def _guess(search: Search, arm: Arm, names: Sequence[str]) -> float:
    """Dollars an hour of an endpoint for these models alone."""
    part = _part(arm, names)
    most = search.bench.question.settings.instances.max
    count, _ = likely_instances(part.sized(part.scenario, 1), demand(part.scenario), most)
    return max(count, search.bench.question.settings.instances.min) * arm.price_per_hour


def _part(arm: Arm, names: Sequence[str]) -> Arm:
    """The arm with the requests for these models only; the others are there and never asked for."""
    def only(scenario: Scenario) -> Scenario:
        return scenario.model_copy(update={"workload": scenario.workload.model_copy(update={"only": tuple(names)})})

    return replace(arm, name=f"{arm.name}, {_models(names)}", scenario=only(arm.scenario))


def _simulated(search: Search, chosen: Trial, split: Split) -> Alternative:
    """Every endpoint of the split, sized."""
    rows: list[dict[str, Any]] = []
    total, most = 0.0, search.bench.question.settings.instances.max
    for names in [*([name] for name in split.hot), split.tail]:
        best = _sized(search, _part(chosen.arm, names))
        if best is None:
            why = f"{_models(names)} alone do not meet the objective with up to {most} instances"
            return Alternative("mixed fleet", False, None, None, why, is_simulated=True)
        cost = best.instances * chosen.arm.price_per_hour
        total += cost
        rows.append({"models": _models(names), "instance_type": chosen.arm.kind.name, "instances": best.instances,
                     "cost_per_month": cost * HOURS_PER_MONTH})
    return Alternative("mixed fleet", True, total * HOURS_PER_MONTH, sum(row["instances"] for row in rows),
                       "simulated: every endpoint meets the objective on its own part of the requests",
                       is_simulated=True, parts=rows)


def _sized(search: Search, arm: Arm) -> Trial | None:
    """The smallest fleet for a part, sought without regard to the plan's best."""
    asked = demand(arm.scenario, busiest_s(arm.scenario))
    alone = Search(search.bench, Windows.of(arm.scenario, asked), asked, search.say)
    race(alone, [arm])
    return alone.best


def _models(names: Sequence[str]) -> str:
    """``bert-001``, ``139 models``."""
    return names[0] if len(names) == 1 else f"{len(names)} models"


