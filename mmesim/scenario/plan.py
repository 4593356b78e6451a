"""Settings of a plan: among which fleets and settings the cheapest is sought that meets the objective.

`mmesim plan` reads them; a run does not depend on them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from mmesim.scenario.endpoint import Few, PositiveDuration
from mmesim.settings import Fraction, Real, Settings, Whole, wrong


class FleetRange(Settings):
    """How many instances a plan may have."""

    min: Few = 1
    """At least so many."""
    max: Few = 20
    """At most so many."""

    @model_validator(mode="after")
    def _in_order(self) -> FleetRange:
        if self.min > self.max:
            raise wrong(f"min {self.min} is above max {self.max}", "write min <= max")
        return self


class Tune(Settings):
    """A number that the optimiser may choose."""

    low: Real
    """From here."""
    high: Real
    """To here."""
    step: Annotated[Real, Field(gt=0)] | None = None
    """Only low, low + step, low + 2 step …; null: any."""
    log: bool = False
    """true: by factors, not by differences."""
    unit: str = ""
    """Written behind the number, e.g. s or MiB."""

    @model_validator(mode="after")
    def _in_order(self) -> Tune:
        if self.low >= self.high:
            raise wrong(f"low {self.low:g} is not below high {self.high:g}", "write low < high")
        if self.log and (self.low <= 0 or self.step is not None):
            raise wrong("log needs low above 0, and no step", "leave out log, or the step")
        return self


class Plan(Settings):
    """What `mmesim plan` may choose from, and how sure it must be."""

    instance_types: tuple[str, ...] = ()
    """Catalog names; none: the multi-model types with the scenario's GPU."""
    instances: FleetRange = FleetRange()
    """Size of the fleet; with autoscaling: its least size."""
    choose: Mapping[str, tuple[Any, ...]] = Field(default_factory=dict)
    """Setting path -> its values; every combination is a candidate."""
    tune: Mapping[str, Tune] = Field(default_factory=dict)
    """Setting path -> the range of a number that is sought."""
    trials: Annotated[Whole, Field(ge=1, le=1000)] = 12
    """Settings of `tune` tried for each candidate, at most."""
    survive: Literal["nothing", "instance", "zone"] = "nothing"
    """The objective also holds while an instance, or a zone, is lost at the busiest time."""
    survival: PositiveDuration = 1800.0
    """How long after the loss it is judged."""
    profiles: Mapping[str, Mapping[str, str]] = Field(default_factory=dict)
    """GPU -> profile of the scenario -> the profile to take on that GPU; else one is looked for, or scaled."""
    mixed: bool = True
    """Also with the most asked models on endpoints of their own."""
    confidence: Annotated[Fraction, Field(gt=0, lt=1)] = 0.95
    """That the answer meets the objective, and that what is cheaper does not."""
    seeds: Annotated[Whole, Field(ge=3, le=1000)] = 10
    """Runs of one candidate, at most."""
