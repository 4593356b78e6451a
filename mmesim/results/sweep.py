"""What a sweep returns: a table of every run, a table of every point, and how they were made."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pandas import DataFrame


@dataclass(frozen=True)
class SweepAxis:
    """One setting of a sweep."""

    path: str
    """Its path, and the name of its column."""
    unit: str
    """Of the column's numbers: ``s``, ``B``, ``B/s``, ``ratio`` (a fraction), ``""``; empty for text too."""
    values: int
    """How many different ones there are."""

    @property
    def title(self) -> str:
        """The last two words of its path."""
        return ".".join(self.path.split(".")[-2:])


@dataclass(frozen=True)
class Sweep:
    """The whole sweep, a value; files and figure are functions of it."""

    name: str
    command: str
    """How to make it again."""
    scenario: Mapping[str, Any]
    """The scenario as resolved, without the points' settings."""
    axes: Sequence[SweepAxis]
    seeds: Sequence[int]
    confidence: float
    ranked_by: str
    """Key of the metric that orders the points."""
    points: DataFrame
    """A row a point and seed: point (number in the design), a column a setting, error (what is wrong with the point; no
    run then), seed, a column a metric key, met_objective, invocations, wall_s, digest."""
    summary: DataFrame
    """A row a point: point, a column a setting, error, rank (1 is best), seeds, met_objective (every seed met it), and
    for each metric key its mean over seeds, ``<key>.low`` and ``<key>.high`` (Student's t; none with one seed)."""
    timing: Mapping[str, Any] = field(default_factory=dict)
    """wall_s, processes, cluster, runs, stored_before, requests, points_per_s: what differs from machine to machine."""
    versions: Mapping[str, str] = field(default_factory=dict)
    """mmesim, python, numpy."""
