"""What `mmesim what-if` returns: a past as recorded and as simulated, how far both agree, what changes would have done.

A value; the report and the terminal are functions of it. An interval is over seeds: it knows the luck of the simulated
world, not that of the past, which happened once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from mmesim.results.comparison import Interval, Metric

POINTS = ("ratio", "%")
"""Units whose differences are told in percentage points."""


@dataclass(frozen=True)
class Agreement:
    """One number of the past, recorded and simulated."""

    metric: Metric
    recorded: float
    simulated: Interval
    trust: float | None = None
    """How far apart they may be (a fraction of the recorded value, or of one where the number is a ratio); None: this
    number is shown and not judged."""

    @property
    def is_points(self) -> bool:
        """The difference is told in percentage points."""
        return self.metric.unit in POINTS

    @property
    def difference(self) -> float | None:
        """Simulated minus recorded, in the metric's own unit where that is a share, else as a fraction of the recorded
        value; None where that is 0 and the other is not."""
        apart = self.simulated.mean - self.recorded
        if self.is_points:
            return apart
        return apart / self.recorded if self.recorded else (0.0 if not apart else None)

    @property
    def holds(self) -> bool | None:
        """Within the trust; None: not judged."""
        return None if self.trust is None else self.difference is not None and abs(self.difference) <= self.trust


@dataclass(frozen=True)
class Course:
    """How a number went over the slice, piece by piece."""

    metric: Metric
    recorded: Sequence[float | None]
    simulated: Sequence[float | None]
    """Means over seeds."""
    correlation: float | None
    """Pearson's, over the pieces where both are known; None of fewer than three, or where one stands still."""
    mean_absolute_error: float | None
    """In the metric's unit."""
    n: int
    """Pieces where both are known."""


@dataclass(frozen=True)
class Effect:
    """What a change does to one number."""

    metric: Metric
    simulated: Interval
    difference: Interval
    """Paired with the simulated past: with it minus without it, in the metric's unit."""
    relative: Interval | None
    """The same as a fraction of the simulated past; None where that is 0."""
    predicted: Interval | None
    """What would have been recorded: the recorded value times the simulated ratio; of a share, plus the simulated
    difference. None: this number was not recorded."""
    is_trusted: bool | None
    """Whether the simulated past was within the trust of the recorded one in this number; None: it was not recorded."""


@dataclass(frozen=True)
class Change:
    """One thing changed, everything else as it was."""

    name: str
    settings: Mapping[str, str]
    effects: Sequence[Effect]
    sentences: Sequence[str] = ()

    def effect(self, key: str) -> Effect | None:
        """The effect on the number of this key."""
        return next((effect for effect in self.effects if effect.metric.key == key), None)


@dataclass(frozen=True)
class WhatIf:
    """The whole answer."""

    name: str
    command: str
    scenario: Mapping[str, Any]
    """The current configuration, as resolved."""
    past: Mapping[str, Any]
    """kind, where, begins (ISO 8601 or null), length_s, warmup_s, requests, models."""
    seeds: Sequence[int]
    confidence: float
    trust: float
    """Of latencies, as a fraction."""
    trust_points: float
    """Of ratios, as a fraction: 0.01 is one percentage point."""
    agreements: Sequence[Agreement]
    """Every number that both have."""
    courses: Sequence[Course]
    piece_s: float
    """How long each piece of the courses is."""
    trusted: bool | None
    """All judged numbers are within the trust; None: none that is judged was recorded."""
    verdict: str
    not_recorded: Sequence[str]
    """Titles of numbers that only the simulation has."""
    changes: Sequence[Change]
    notes: Sequence[str] = ()
    timing: Mapping[str, Any] = field(default_factory=dict)

    def agreement(self, key: str) -> Agreement | None:
        """The agreement of the number of this key."""
        return next((each for each in self.agreements if each.metric.key == key), None)
