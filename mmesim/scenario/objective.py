"""Settings of the objective: what a result is judged by. Every target is an upper limit."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

from pydantic import Field

from mmesim.scenario.endpoint import PositiveNumber
from mmesim.settings import Count, Fraction, Number, Settings


class ModelTargets(Settings):
    """What each matching model is judged by, on its own."""

    p99_ms: PositiveNumber | None = None
    """99th percentile of its latency in milliseconds."""
    error_rate: Fraction | None = None
    """Share of its requests that end in an error."""
    cold_start_ratio: Fraction | None = None
    """Share of its requests that waited for a load."""
    at_least: Annotated[Count, Field(ge=1)] = 100
    """Models with fewer requests are not judged: their numbers are chance."""


class Objective(Settings):
    """What the result is judged by; all optional."""

    p50_ms: PositiveNumber | None = None
    """Median latency in milliseconds."""
    p99_ms: PositiveNumber | None = None
    """99th percentile of latency in milliseconds."""
    warm_p50_ms: PositiveNumber | None = None
    """The same without the requests that waited for a load."""
    warm_p99_ms: PositiveNumber | None = None
    """The same without the requests that waited for a load."""
    error_rate: Fraction | None = None
    """Share of requests that end in an error."""
    cold_start_ratio: Fraction | None = None
    """Share of requests that waited for a load."""
    cost_per_hour: Number | None = None
    """Mean cost of the instances, in the catalog's currency."""
    models: Mapping[str, ModelTargets] = Field(default_factory=dict)
    """Shell pattern on model names -> targets that each matching model has to meet."""
