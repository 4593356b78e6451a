"""How much traffic, and how many models, a plan can take until it misses the objective.

Traffic: every rate times a factor (`workload.scale`). Models: so many more in every group that counts its models, the
traffic spread over all of them as the popularity says. The largest factor that holds is found on a grid of 5 % steps by
galloping and bisection; whoever holds at `MOST` is not looked at further.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from math import log

from mmesim.planner.answer.probe import Probe, Variation
from mmesim.planner.plan.bracket import Bracket
from mmesim.results.plan import Headroom
from mmesim.scenario.models import ModelGroup
from mmesim.scenario.schema import Scenario

STEP = 1.05
"""Between two factors."""
MOST = 8.0
"""Larger growth is another plan."""
GUESS = 1.3
"""Where to look first."""


def headroom(probe: Probe) -> list[Headroom]:
    """In traffic and, where models can be added, in models."""
    kinds: list[tuple[str, Callable[[float, Scenario], Scenario]]] = [("traffic", more_traffic)]
    if can_have_more_models(probe.trial.scenario):
        kinds.append(("models", more_models))
    return [_headroom(probe, what, grow) for what, grow in kinds]


def _headroom(probe: Probe, what: str, grow: Callable[[float, Scenario], Scenario]) -> Headroom:
    """Steps of the grid are numbered from 1 (no growth is 0); the bracket looks for the first that fails."""
    most = round(log(MOST) / log(STEP))
    bracket, failing = Bracket(1, round(log(GUESS) / log(STEP))), {}
    while (step := bracket.next(most)) is not None:
        [seen] = probe.see([Variation(partial(grow, STEP**step))], f"growth of {what}")
        if seen.met:
            bracket.missed(step)  # the bracket seeks the first that is "met", which is here the first that fails
        else:
            bracket.met(step)
            failing[step] = seen.worst
    fails = bracket.high
    return Headroom(what, STEP ** (bracket.low - 1), None if fails is None else STEP**fails,  # type: ignore[arg-type]
                    "" if fails is None else failing[fails])


def more_traffic(factor: float, scenario: Scenario) -> Scenario:
    """Every rate times the factor."""
    workload = scenario.workload
    return scenario.model_copy(update={"workload": workload.model_copy(update={"scale": workload.scale * factor})})


def more_models(factor: float, scenario: Scenario) -> Scenario:
    """Every group that counts its models has so many more."""
    groups = tuple(group.model_copy(update={"count": round(group.count * factor)}) if _counts(group) else group
                   for group in scenario.models)
    return scenario.model_copy(update={"models": groups})


def can_have_more_models(scenario: Scenario) -> bool:
    """Whether models that are added are asked for: not where requests name their models."""
    workload = scenario.workload
    by_name = workload.trace is not None and workload.trace_options.map == "name"
    named = workload.popularity.use == "explicit" or by_name or workload.only is not None
    return not named and any(map(_counts, scenario.models))


def _counts(group: ModelGroup) -> bool:
    return group.name is None or "{i" in group.name
