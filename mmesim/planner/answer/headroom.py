"""How much traffic, and how many models, a plan can take until it misses the objective.

Traffic: every rate times a factor (`workload.scale`). Models: so many more in every group that counts its models, the
traffic spread over all of them as the popularity says. The largest factor that holds is found on a grid of 5 % steps by
galloping and bisection; whoever holds at `MOST` is not looked at further.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from math import log
from typing import Literal

from mmesim.planner.answer.probe import Probe, Seen, Variation
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


@dataclass
class Growth:
    """What may grow, and where it fails, as far as known: step k of the grid is `STEP` to the power of k."""

    what: Literal["traffic", "models"]
    grow: Callable[[float, Scenario], Scenario]
    bracket: Bracket = field(default_factory=lambda: Bracket(1, round(log(GUESS) / log(STEP))))
    failing: dict[int, str] = field(default_factory=dict)
    """Step -> the target that is missed by most."""

    def found(self) -> Headroom:
        """In factors."""
        fails = self.bracket.high
        return Headroom(self.what, STEP ** (self.bracket.low - 1), None if fails is None else STEP**fails,
                        "" if fails is None else self.failing[fails])

    def learn(self, step: int, seen: Seen) -> None:
        """The bracket seeks the first step that fails: to it, that is what "meets"."""
        if seen.met:
            self.bracket.missed(step)
        else:
            self.bracket.met(step)
            self.failing[step] = seen.worst


def headroom(probe: Probe) -> list[Headroom]:
    """In traffic and, where models can be added, in models; both are looked for side by side."""
    kinds = [Growth("traffic", more_traffic)]
    if can_have_more_models(probe.trial.scenario):
        kinds.append(Growth("models", more_models))
    most = round(log(MOST) / log(STEP))
    while wanted := [(one, step) for one in kinds if (step := one.bracket.next(most)) is not None]:
        seen = probe.see([Variation(partial(one.grow, STEP**step)) for one, step in wanted], "growth")
        for (one, step), found in zip(wanted, seen, strict=True):
            one.learn(step, found)
    return [one.found() for one in kinds]


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
