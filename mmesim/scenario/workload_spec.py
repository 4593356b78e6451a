"""The workload as :mod:`mmesim.workload` wants it, from the settings: same values, internal names (``_s``, paths)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any, TypeVar

from mmesim.scenario.laws import DurationLaw
from mmesim.scenario.models import ModelGroup
from mmesim.scenario.schema import DEFAULT_DURATION_S, Scenario
from mmesim.settings import Settings
from mmesim.units import ns
from mmesim.workload.scale import scaled
from mmesim.workload.trace import trace_left_s
from mmesim.workload.types import (
    ArrivalSpec,
    ClientsSpec,
    PopularitySpec,
    StageSpec,
    SurgeSpec,
    TraceSpec,
    WorkloadModel,
    WorkloadSpec,
)

Spec = TypeVar("Spec")


def workload_spec(scenario: Scenario) -> WorkloadSpec:
    """The whole workload, scaled, but for retries, which belong to the client in the simulation."""
    given = scenario.workload
    clients = given.clients
    return scaled(WorkloadSpec(
        arrivals=_spec(ArrivalSpec, given.arrivals, scenario.base_dir),
        surges=tuple(_spec(SurgeSpec, surge, scenario.base_dir) for surge in given.surges),
        popularity=_spec(PopularitySpec, given.popularity, scenario.base_dir),
        session_repeat=given.sessions.repeat, session_reach=given.sessions.reach,
        items=given.items, start_s=given.start, only=given.only,
        trace=None if given.trace is None else
        _spec(TraceSpec, given.trace_options, scenario.base_dir, file=scenario.base_dir / given.trace),
        clients=None if clients is None else
        ClientsSpec(clients.wait.distribution(),
                    tuple(_spec(StageSpec, stage, scenario.base_dir) for stage in clients.stages), clients.users)),
        given.scale)


def duration_s(scenario: Scenario) -> float:
    """Simulated time, from the workload's start: as given, else until the trace or the last stage ends, else an hour.

    Raises InputError when the trace is wrong.
    """
    if scenario.duration is not None:
        return scenario.duration
    spec = workload_spec(scenario)
    if spec.trace is not None:
        return trace_left_s(spec.trace, spec.start_s)
    return spec.clients.stages[-1].until_s if spec.clients and spec.clients.stages else DEFAULT_DURATION_S


def workload_models(scenario: Scenario) -> list[WorkloadModel]:
    """The models as their clients see them, in the order of the groups."""
    return [model for group in scenario.models for model in _models(group)]


def _models(group: ModelGroup) -> Iterator[WorkloadModel]:
    law = group.service_law.distribution()
    until_ns = None if group.available_until is None else ns(group.available_until)
    for name in group.names():
        yield WorkloadModel(name, group.weight, law, ns(group.available_from), until_ns)


def _spec(cls: type[Spec], settings: Settings, base_dir: Path, **more: Any) -> Spec:
    """A spec with the fields of the same names, or with the unit ``_s`` at the end."""
    known = {field.name for field in fields(cls)}  # type: ignore[arg-type]
    values = {name if name in known else f"{name.rstrip('_')}_s": _value(name, value, base_dir)
              for name, value in settings}
    return cls(**values, **more)


def _value(name: str, value: Any, base_dir: Path) -> Any:
    if name == "file":
        return base_dir / value
    return value.distribution() if isinstance(value, DurationLaw) else value
