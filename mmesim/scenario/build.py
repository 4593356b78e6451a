"""The composition root: from a validated scenario to the objects that a run is made of."""

from __future__ import annotations

from dataclasses import dataclass

from mmesim.catalog import InstanceType
from mmesim.core.policy import Policies
from mmesim.core.types import EndpointSpec, ModelSpec
from mmesim.dataplane.api import PlaneSpec, ServiceSpec
from mmesim.profile import ModelProfile
from mmesim.scenario.schema import Scenario
from mmesim.workload.types import ArrivalSource, ClosedLoop


@dataclass(frozen=True)
class BuiltModel:
    """One model with all that control plane, data plane and world need of it."""

    spec: ModelSpec
    service: ServiceSpec
    profile: ModelProfile
    actual_gpu_bytes: int
    actual_host_bytes: int
    load_s: float | None
    """Measured time from local files to READY, alone; None: computed from `load_fixed_s`, sizes and bandwidths."""
    load_fixed_s: float
    fails_to_load: bool
    available_from_ns: int
    available_until_ns: int


@dataclass(frozen=True)
class Build:
    """Everything of one run. Sources of arrivals are used up by it; build again for another run."""

    scenario: Scenario
    seed: int
    duration_ns: int
    warmup_ns: int
    instance_type: InstanceType
    models: tuple[BuiltModel, ...]
    endpoint: EndpointSpec
    policies: Policies
    plane: PlaneSpec
    arrivals: ArrivalSource | None
    clients: ClosedLoop | None
