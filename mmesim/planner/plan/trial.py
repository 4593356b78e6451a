"""One candidate: an arm with a fleet size and its numbers, and the pieces of it that are simulated.

Levels, from cheap to dear:

* BUSIEST: the busiest time of the workload only, after a lead in which caches fill. The requests are those of the whole
  run (`workload.start`), so what is too late or fails there does so in the whole run.
* QUIETEST: half an hour of the quietest time, in which a fleet that scales is smallest and has least memory. What is
  bad in the busiest and in the quietest time alike is bad over all.
* LOSS: the same as BUSIEST with an instance, or a zone, lost where the lead ends; judged from then on.
* WHOLE: the scenario as it is. Only this can say that the objective is met.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from functools import cached_property

import numpy as np

from mmesim.planner.analytic import Demand, demand
from mmesim.planner.plan.space import Arm
from mmesim.planner.runs.contender import Contender
from mmesim.results.plan import Status, TargetFound
from mmesim.scenario.faults import InstanceCrash, ZoneLoss
from mmesim.scenario.schema import Scenario
from mmesim.scenario.workload_spec import duration_s

LEAD_S = 900.0
"""Time to fill the caches before what is judged (assumed: some hundred loads on four threads take minutes)."""
BUSIEST_S = 1800.0
"""Length of the busiest time, or as long as it takes for `ENOUGH` requests."""
ENOUGH = 50_000
"""Requests that a 99th percentile can be told from."""
QUIET_S = 1800.0
"""Length of the quietest time."""
QUIET_ENOUGH = 1000
"""Requests in it, or it tells nothing of a 99th percentile."""
WORTH = 3.0
"""A whole run has to be so many times longer than its busiest time, or that is not simulated alone."""
BY_THE_CLOCK = {"scheduled", "forecast_staffing", "forecast", "hybrid_histogram"}
"""Policies that depend on the time of day, or on days gone by: they cannot be simulated from the middle."""


class Level(Enum):
    """Which part is simulated."""

    BUSIEST = "busiest time"
    QUIETEST = "quietest time"
    LOSS = "loss at the busiest time"
    WHOLE = "whole"


@dataclass(frozen=True)
class Windows:
    """The pieces of one workload, in seconds from its beginning."""

    whole_s: float
    start_s: float
    """Of the busiest time."""
    length_s: float
    quiet_s: float
    """Start of the quietest time."""
    shares: Mapping[Level, float]
    """Of all requests that are judged: in the busiest and in the quietest time; of the latter only where these are
    enough to tell something."""

    @classmethod
    def of(cls, scenario: Scenario, asked: Demand) -> Windows:
        """The windows of a scenario."""
        whole_s = duration_s(scenario)
        measured = float(asked.rates_rps.sum()) * (whole_s - scenario.warmup)
        busiest = float(asked.busiest_rps.sum()) * asked.busiest_window_s
        start_s = max(asked.busiest_start_s, min(LEAD_S, whole_s - asked.busiest_window_s))
        quiet_s, quiet_rps = _quietest(asked, whole_s)
        shares = {Level.BUSIEST: busiest}
        if quiet_rps * QUIET_S >= QUIET_ENOUGH:
            shares[Level.QUIETEST] = quiet_rps * QUIET_S
        return cls(whole_s, start_s, asked.busiest_window_s, quiet_s,
                   {level: min(1.0, requests / max(measured, 1e-9)) for level, requests in shares.items()})

    @property
    def lead_s(self) -> float:
        """Before the busiest time, as far as there is any."""
        return min(LEAD_S, self.start_s)

    def is_worth(self, scenario: Scenario) -> bool:
        """Whether the busiest time can be simulated alone, and saves something."""
        return (self.whole_s >= WORTH * (LEAD_S + self.length_s) and scenario.workload.clients is None
                and not scenario.faults and not _by_the_clock(scenario))


def busiest_s(scenario: Scenario) -> float:
    """How long the busiest time of a workload is: of a short one half, of a long one a sixth at most."""
    whole_s = duration_s(scenario)
    if whole_s <= 6 * BUSIEST_S:
        return min(BUSIEST_S, whole_s / 2)
    rate_rps = max(float(demand(scenario, BUSIEST_S).busiest_rps.sum()), 1e-9)
    return min(max(BUSIEST_S, ENOUGH / rate_rps), whole_s / 6)


def _quietest(asked: Demand, whole_s: float) -> tuple[float, float]:
    """Start of the quietest piece of the load over time, late enough for a lead before it, and its rate."""
    edges_s, rates_rps = asked.load_over_time
    starts_s = edges_s[:-1]
    possible = (starts_s >= LEAD_S) & (starts_s <= whole_s - QUIET_S)
    if not possible.any():
        return min(LEAD_S, whole_s / 2), float(rates_rps.mean())
    at = int(np.argmin(np.where(possible, rates_rps, np.inf)))
    return float(starts_s[at]), float(rates_rps[at])


def _by_the_clock(scenario: Scenario) -> bool:
    endpoint = scenario.endpoint
    return bool({endpoint.prewarm.use, *(policy.use for policy in endpoint.autoscaling)} & BY_THE_CLOCK)


@dataclass(eq=False)
class Trial:
    """One candidate and what is known of it."""

    arm: Arm
    instances: int
    numbers: Mapping[str, str]
    """Tuned setting path -> value as written."""
    scenario: Scenario = field(repr=False)
    windows: Windows = field(repr=False)
    status: Status = "open"
    targets: tuple[TargetFound, ...] = ()
    seeds: int = 0
    """Whole runs that were made."""
    losses: int = 0
    """Runs with a loss that were made."""
    why: str = ""

    @property
    def key(self) -> tuple[object, ...]:
        """Equal for equal candidates."""
        return (self.arm.name, self.instances, *sorted(self.numbers.items()))

    @property
    def name(self) -> str:
        """``3 x ml.g5.xlarge, gdsf``."""
        least = "at least " if self.arm.autoscales else ""
        numbers = "".join(f", {path.rpartition('.')[2]} {value}" for path, value in self.numbers.items())
        return f"{least}{self.instances} x {self.arm.name}{numbers}"

    @property
    def settings(self) -> dict[str, str]:
        """What makes the scenario as written this candidate."""
        fleet = self.scenario.endpoint.instances
        size = (f"{{initial: {fleet.initial}, min: {fleet.min}, max: {fleet.max}}}" if self.arm.autoscales
                else str(self.instances))
        return {**self.arm.settings, **self.numbers, "endpoint.instances": size}

    def contender(self, level: Level) -> Contender:
        """What is simulated at a level."""
        return {Level.WHOLE: self._whole, Level.BUSIEST: self._busiest, Level.QUIETEST: self._quietest,
                Level.LOSS: self._loss}[level]

    @property
    def screens(self) -> tuple[Level, ...]:
        """What is looked at before the whole, where that is worth it."""
        both = (Level.QUIETEST, Level.BUSIEST) if self.arm.autoscales else (Level.BUSIEST, Level.QUIETEST)
        return tuple(level for level in both if level in self.windows.shares)

    @cached_property
    def _whole(self) -> Contender:
        return Contender(self.name, self.settings, self.scenario)

    @cached_property
    def _busiest(self) -> Contender:
        """A fleet that scales begins at its largest, and has the lead to become smaller: what fails even so fails."""
        windows = self.windows
        cut = self._cut(windows.start_s, windows.lead_s, windows.length_s)
        fleet = cut.endpoint.instances
        grown = cut.endpoint.model_copy(update={"instances": fleet.model_copy(update={"initial": fleet.max})})
        return Contender(self.name, self.settings, cut.model_copy(update={"endpoint": grown}))

    @cached_property
    def _quietest(self) -> Contender:
        start_s = self.windows.quiet_s
        return Contender(self.name, self.settings, self._cut(start_s, min(LEAD_S, start_s), QUIET_S))

    @cached_property
    def _loss(self) -> Contender:
        windows = self.windows
        survival_s = min(self.scenario.plan.survival, windows.whole_s / 2)
        start_s = min(windows.start_s, windows.whole_s - survival_s)
        lead_s = start_s if self.scenario.faults or _by_the_clock(self.scenario) else min(LEAD_S, start_s)
        return Contender(self.name, self.settings, self._struck(self._cut(start_s, lead_s, survival_s)))

    def _cut(self, start_s: float, lead_s: float, length_s: float) -> Scenario:
        """So long from that time on, judged after the lead."""
        workload = self.scenario.workload
        begun = workload.model_copy(update={"start": workload.start + start_s - lead_s})
        return self.scenario.model_copy(update={"workload": begun, "duration": lead_s + length_s, "warmup": lead_s})

    def _struck(self, scenario: Scenario) -> Scenario:
        """With the loss where the lead ends."""
        at_s, plan = scenario.warmup, scenario.plan
        # made without validation: durations are written with units outside, and are plain seconds inside
        fault = (ZoneLoss.model_construct(use="zone_loss", at=at_s, every=None, for_=plan.survival, zone=0)
                 if plan.survive == "zone" else
                 InstanceCrash.model_construct(use="instance_crash", at=at_s, every=None, instance=0))
        return scenario.model_copy(update={"faults": (*scenario.faults, fault)})
