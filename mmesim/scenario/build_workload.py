"""From the workload section of a scenario to the specs the workload package is built from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mmesim.scenario.schema import Scenario
from mmesim.scenario.workload import Clients
from mmesim.units import ns
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

DEFAULT_DURATION_S = 3600.0
RENAMED = {"mean_sojourn": "mean_sojourn_s", "period": "period_s", "peak_at": "peak_at_s", "every": "every_s",
           "start": "start_s", "end": "end_s"}
"""Settings whose spec carries the unit in its name."""


def workload_spec(scenario: Scenario) -> WorkloadSpec:
    """The whole workload, files resolved against the scenario's folder."""
    load = scenario.workload
    trace = TraceSpec(file=scenario.base_dir / load.trace, **_fields(load.trace_options)) if load.trace else None
    return WorkloadSpec(
        arrivals=ArrivalSpec(**_fields(load.arrivals, scenario.base_dir)),
        surges=tuple(SurgeSpec(surge.at, surge.for_, surge.factor, surge.models) for surge in load.surges),
        popularity=PopularitySpec(**_fields(load.popularity)), session_repeat=load.sessions.repeat,
        items=load.items, trace=trace, clients=_clients(load.clients) if load.clients else None)


def _clients(clients: Clients) -> ClientsSpec:
    stages = tuple(StageSpec(stage.until, stage.users, stage.spawn_rate) for stage in clients.stages)
    return ClientsSpec(clients.wait.distribution(), stages, clients.users)


def _fields(settings: Any, base_dir: Path | None = None) -> dict[str, Any]:
    """The settings' own fields under the names of the spec."""
    fields = {RENAMED.get(name, name): getattr(settings, name) for name in type(settings).model_fields}
    if base_dir is not None and "file" in fields:
        fields["file"] = base_dir / fields["file"]
    return fields


def workload_models(scenario: Scenario) -> list[WorkloadModel]:
    """Every model as clients see it."""
    return [WorkloadModel(name, group.weight, group.service_law.distribution(),
                          ns(group.available_from),
                          None if group.available_until is None else ns(group.available_until))
            for group in scenario.models for name in group.names()]


def trace_or_default_end_s(scenario: Scenario) -> float:
    """Where the run ends when no duration is given: with the trace, with the last stage, else after an hour."""
    load = scenario.workload
    if load.trace:
        from mmesim.workload.trace import trace_end_s
        spec = workload_spec(scenario).trace
        assert spec is not None
        return trace_end_s(spec)
    if load.clients and load.clients.stages:
        return load.clients.stages[-1].until
    return DEFAULT_DURATION_S
