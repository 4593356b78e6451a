"""The space of a plan: *arms*, each an instance type with one combination of the settings to choose from.

An arm has a fleet size, found by bisection, and perhaps numbers, found by the optimiser; both make a *trial* of it
(:mod:`mmesim.planner.plan.trial`).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from typing import Any

from mmesim.catalog import InstanceType
from mmesim.errors import InputError
from mmesim.planner.compare.naming import names_of
from mmesim.planner.plan.profiles import Fitted, fitted
from mmesim.planner.plan.question import Question
from mmesim.scenario.endpoint import Instances
from mmesim.scenario.overrides import at, find
from mmesim.scenario.plan import Tune
from mmesim.scenario.schema import Scenario


@dataclass(frozen=True)
class Arm:
    """One instance type with one choice of settings; loaded and checked."""

    name: str
    kind: InstanceType
    settings: Mapping[str, str]
    """Setting path -> value as written: what makes the scenario as written this arm."""
    scenario: Scenario = field(repr=False)
    tune: Mapping[str, Tune]
    """Numbers to be found."""
    notes: Sequence[str] = ()
    """What its profiles rest on."""
    error: float = 0.0
    """Of service times that are scaled, as a fraction; 0: they were measured."""
    stands: Mapping[str, float] = field(default_factory=dict)
    """What the numbers to be found are as written, where that is in their range."""

    @property
    def autoscales(self) -> bool:
        """True when the fleet's size is not fixed."""
        return bool(self.scenario.endpoint.autoscaling)

    @property
    def price_per_hour(self) -> float:
        """Of one instance; 0 when nobody knows it, so that fleets are then compared by their size within a type."""
        return self.kind.price_per_hour or 0.0

    def sized(self, scenario: Scenario, instances: int) -> Scenario:
        """A scenario of this arm with a fleet of that size; autoscaled: of at least that size."""
        most = max(instances, scenario.plan.instances.max) if self.autoscales else instances
        fleet = Instances(initial=instances, min=instances, max=most)
        return scenario.model_copy(update={"endpoint": scenario.endpoint.model_copy(update={"instances": fleet})})


@dataclass(frozen=True)
class NoArm:
    """An instance type, or a combination, that cannot be."""

    name: str
    kind: InstanceType
    settings: Mapping[str, str]
    why: str


def arms(question: Question) -> tuple[list[Arm], list[NoArm]]:
    """All arms, and what cannot be one. Raises InputError when a choice is wrong on the scenario's own instance type:
    that is the user's mistake, not the type's."""
    combinations = _combinations(question.settings.choose)
    labels = names_of(combinations)
    made: list[Arm] = []
    not_made: list[NoArm] = []
    for kind in [question.catalog[name] for name in question.instance_types]:
        profiles = fitted(question, kind.gpu)
        for label, chosen in zip(labels, combinations, strict=True):
            name = f"{kind.name}, {label}" if chosen else kind.name
            settings = {"endpoint.instance_type": kind.name, **profiles.changes,
                        **{path: written(value) for path, value in chosen.items()}}
            one = _arm(question, name, kind, settings, profiles)
            (made if isinstance(one, Arm) else not_made).append(one)  # type: ignore[arg-type]
    return made, not_made


def _combinations(choose: Mapping[str, Sequence[Any]]) -> list[dict[str, Any]]:
    return [dict(zip(choose, values, strict=True)) for values in product(*choose.values())]


def _arm(question: Question, name: str, kind: InstanceType, settings: Mapping[str, str],
         profiles: Fitted) -> Arm | NoArm:
    if profiles.missing:
        lacking, device = ", ".join(profiles.missing), kind.gpu or "the CPU"
        return NoArm(name, kind, settings, f"no profile of {lacking} for {device}, and no rule to scale one")
    own = kind.name == question.scenario.endpoint.instance_type
    try:
        untuned = question.load(_as_overrides(question, settings, {}))
        tune = _there(question.settings.tune, untuned)
        scenario = question.load(_as_overrides(question, settings, tune))
    except InputError as error:
        if own:
            raise
        return NoArm(name, kind, settings, "; ".join(problem.message for problem in error.problems))
    return Arm(name, kind, settings, scenario, tune, profiles.notes, profiles.error, _as_they_stand(tune, untuned))


def _there(tune: Mapping[str, Tune], scenario: Scenario) -> dict[str, Tune]:
    """The numbers that a scenario has: of an autoscaling policy only where there is one."""
    resolved = scenario.resolved()
    return {path: one for path, one in tune.items() if isinstance(at(resolved, find(resolved, path)[:-1]), dict)}


def _as_they_stand(tune: Mapping[str, Tune], scenario: Scenario) -> dict[str, float]:
    """Numbers with a unit of their own are left out: a scenario has them in seconds or bytes."""
    resolved = scenario.resolved()
    values = {path: at(resolved, find(resolved, path)) for path, one in tune.items() if not one.unit}
    return {path: float(as_number(tune[path], value)) for path, value in values.items()
            if isinstance(value, int | float) and tune[path].low <= value <= tune[path].high}


def _as_overrides(question: Question, settings: Mapping[str, str], tune: Mapping[str, Tune]) -> list[str]:
    """With the tuned numbers at the middle of their ranges, so that they are checked too."""
    most = question.settings.instances.max
    middles = [f"{path}={middle(one)}" for path, one in tune.items()]
    return [f"endpoint.instances={{initial: {most}, min: 1, max: {most}}}",
            *(f"{path}={value}" for path, value in settings.items()), *middles]


def middle(tune: Tune) -> str:
    """A value inside a range, as written."""
    return as_number(tune, (tune.low * tune.high) ** 0.5 if tune.log else (tune.low + tune.high) / 2)


def as_number(tune: Tune, value: float) -> str:
    """A number on the range's steps, with its unit."""
    if tune.step is not None:
        value = min(tune.high, tune.low + round((value - tune.low) / tune.step) * tune.step)
    return f"{value:.6g}{tune.unit}"


def written(value: Any) -> str:
    """A value as it is written after ``--set path=`` (JSON is YAML)."""
    return value if isinstance(value, str) and value.replace("_", "").isalnum() else json.dumps(value)
