"""What a plan returns: the cheapest fleet found that meets the objective, what else was examined, and the reasons.

A value; the report, the terminal and the files to deploy are functions of it. Costs are US dollars, a month is AWS's
own (:data:`mmesim.results.fleet.HOURS_PER_MONTH`). An interval is over seeds (:mod:`mmesim.results.comparison`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from mmesim.results.comparison import Interval

Status = Literal["met", "missed", "open", "ruled out"]
"""At the plan's confidence: every target is met; one is missed; neither can be said; not simulated, for arithmetic
shows that it cannot do, or costs too much."""


@dataclass(frozen=True)
class TargetFound:
    """One target of the objective and what was found."""

    name: str
    """As in the scenario: ``p99_ms``, ``models.bert-*.p99_ms``; of a run with a loss: ``p99_ms, an instance lost``."""
    limit: float
    unit: str
    """``ms``, ``ratio`` (a fraction, shown in percent), ``USD/h``."""
    value: Interval | None
    """None: it does not exist, e.g. no model had requests enough."""
    status: Status

    @property
    def margin(self) -> float | None:
        """How far the value is below the limit, as a fraction of it; negative: above."""
        return None if self.value is None or not self.limit else 1 - self.value.mean / self.limit


@dataclass(frozen=True)
class Option:
    """One fleet with its settings, and what was found out about it."""

    name: str
    """``3 x ml.g5.xlarge, gdsf``: unique among the options."""
    instance_type: str
    instances: int
    """How many; with autoscaling: the least."""
    most_instances: int
    """The same without autoscaling."""
    settings: Mapping[str, str]
    """Setting path -> value as written, on top of the scenario: ``mmesim run S.yaml --set path=value`` …"""
    status: Status
    why: str
    """One sentence: what it misses, why it was not simulated, or that it meets all."""
    cost_per_month: Interval | None
    """None: the price is unknown. Ruled out: the least that it can cost."""
    targets: Sequence[TargetFound] = ()
    values: Mapping[str, Interval] = field(default_factory=dict)
    """Metric key (:data:`mmesim.results.comparison.METRICS` and a few more) -> mean over seeds, whole runs only."""
    seeds: int = 0
    """Whole runs; 0: decided by arithmetic, or by runs of the busiest time only."""
    requests: int = 0
    """Simulated for it, all levels together."""

    @property
    def is_whole(self) -> bool:
        """True when it was simulated over the whole of the scenario."""
        return self.seeds > 0


@dataclass(frozen=True)
class Limit:
    """What would be if there were more of one resource, found by simulating the cheaper neighbour that just fails."""

    resource: str
    """``GPU memory``, ``GPU time``, ``host CPU``, ``network``, ``loads``, ``disk``, ``bursts``."""
    change: str
    """``4 x the memory``."""
    binds: bool
    """True: with this alone the neighbour would meet the objective."""
    target: str
    """The target that the neighbour misses by most."""
    before: float | None
    after: float | None
    """Its value without and with the change."""


@dataclass(frozen=True)
class Headroom:
    """How much one thing may grow until the objective fails, everything else as planned."""

    what: Literal["traffic", "models"]
    holds: float
    """Largest factor that was seen to meet the objective; 1: no growth."""
    fails: float | None
    """Smallest that was seen to miss it; None: none was found up to `holds`."""
    target: str
    """What fails first; empty when nothing did."""


@dataclass(frozen=True)
class Swing:
    """The plan with one assumed setting at either end of what it may be."""

    setting: str
    source: str
    """Where the range is from."""
    low: str
    high: str
    """As written."""
    target: str
    """The target whose value is shown: the one with the least margin."""
    value: float | None
    """As planned."""
    value_low: float | None
    value_high: float | None
    met_low: bool | None
    met_high: bool | None
    """Whether the plan meets the objective there too."""


@dataclass(frozen=True)
class Alternative:
    """The same models and traffic on another kind of endpoint, by arithmetic or simulated."""

    kind: Literal["dedicated endpoints", "inference components", "serverless", "mixed fleet", "as written"]
    possible: bool
    cost_per_month: float | None
    instances: int | None
    why: str
    """How it is computed, or why it cannot be."""
    is_simulated: bool = False
    parts: Sequence[Mapping[str, Any]] = ()
    """Rows: what is on which endpoint, of which type, how many instances, cost per month."""


@dataclass(frozen=True)
class Commitment:
    """What a commitment (Savings Plan) to some instances would make of the bill."""

    term: str
    """``1 year``."""
    price_per_hour: float
    instances: int
    """Committed to; what runs beyond is paid on demand."""
    cost_per_month: float
    saving: float
    """Fraction of the bill on demand."""


@dataclass(frozen=True)
class Plan:
    """The whole answer."""

    name: str
    command: str
    scenario: Mapping[str, Any]
    """As resolved, without the choices."""
    confidence: float
    objective: Mapping[str, float]
    """Target name -> limit."""
    chosen: Option | None
    """None: nothing in the space meets the objective."""
    nearest: Option | None
    """When nothing does: what comes nearest; its targets say by how much it misses. The nearest objective that can be
    met is what it attains."""
    runner_up: Option | None
    """The best that is neither chosen nor the same type and settings with another number of instances."""
    options: Sequence[Option]
    """Everything that was examined or ruled out: cheapest first, ruled-out ones last."""
    written: str
    """Name of the option that is the scenario as it stands."""
    limits: Sequence[Limit]
    headroom: Sequence[Headroom]
    swings: Sequence[Swing]
    """Largest effect first."""
    pareto: Sequence[str]
    """Names of the options that no other beats in both cost and `front`, cheapest first."""
    front: str
    """Metric key of the front's other side, e.g. ``latency.all.p99``."""
    alternatives: Sequence[Alternative]
    commitments: Sequence[Commitment]
    survival: Sequence[TargetFound]
    """The targets while an instance or a zone is lost, whether asked for or not (then an instance); none: not run."""
    sentences: Sequence[str]
    """The answer in plain words, most important first."""
    notes: Sequence[str] = ()
    """What it rests on: scaled profiles, prices by rule, a space that ended at its border."""
    effort: Mapping[str, Any] = field(default_factory=dict)
    """runs, requests (simulated), ruled_out, exhaustive_requests (what trying everything would have taken)."""
    timing: Mapping[str, Any] = field(default_factory=dict)
    """wall_s, processes: what differs from machine to machine."""

    def option(self, name: str) -> Option:
        """The option of this name, which is in `options`."""
        return next(option for option in self.options if option.name == name)
