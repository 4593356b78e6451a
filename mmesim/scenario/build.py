"""The composition root: from a validated scenario to the objects that a run is made of."""

from __future__ import annotations

from dataclasses import dataclass

from mmesim.catalog import InstanceType
from mmesim.core.policy import Policies
from mmesim.core.types import EndpointSpec, InstanceSpec, ModelSpec
from mmesim.dataplane.api import ONE_Q16, PlaneSpec, RetrySpec, ServiceSpec, draw
from mmesim.profile import ModelProfile
from mmesim.scenario.build_models import ModelBuilder
from mmesim.scenario.endpoint import Endpoint, Server
from mmesim.scenario.foresight import foresee
from mmesim.scenario.references import frontend_threads, resolve
from mmesim.scenario.room import instance_spec
from mmesim.scenario.schema import Scenario
from mmesim.scenario.workload_spec import duration_s, workload_models, workload_spec
from mmesim.units import ns
from mmesim.workload.build import build_arrivals, build_closed_loop
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
    unload_s: float
    """Time of an unload proper, where the scenario gives none."""
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
    load_slowdown: float
    arrivals: ArrivalSource | None
    clients: ClosedLoop | None


def build(scenario: Scenario) -> Build:
    """Build one run. The scenario has passed the door; files only the workload reads may still raise InputError."""
    found = resolve(scenario)
    builder = ModelBuilder(scenario, found.instance_type)
    models = tuple(BuiltModel(*parts) for group in found.groups for parts in builder.models(group))
    seed, spec = scenario.seed, workload_spec(scenario)
    duration_ns = ns(duration_s(scenario))
    asked = workload_models(scenario)
    clients = build_closed_loop(spec, asked, seed) if spec.clients else None
    foresee(found.policies, None if clients else lambda: build_arrivals(spec, asked, seed, duration_ns))
    return Build(
        scenario=scenario, seed=seed, duration_ns=duration_ns, warmup_ns=ns(scenario.warmup),
        instance_type=found.instance_type, models=models,
        endpoint=endpoint_spec(scenario.endpoint, instance_spec(scenario.endpoint.server, found.instance_type)),
        policies=found.policies, plane=_plane_spec(scenario, found.instance_type, models),
        load_slowdown=_load_slowdown(scenario.endpoint.server, models),
        arrivals=None if clients else build_arrivals(spec, asked, seed, duration_ns), clients=clients)


def endpoint_spec(endpoint: Endpoint, instance: InstanceSpec) -> EndpointSpec:
    """The endpoint's rules that are not policies, for instances of this capacity."""
    server, instances = endpoint.server, endpoint.instances
    return EndpointSpec(
        instance=instance, min_instances=instances.min, max_instances=instances.max,
        max_models=server.max_models, load_threads=server.load_threads, download_threads=server.download_threads,
        load_retries=server.load_retries, load_timeout_ns=ns(server.load_timeout),
        failed_retry_after_ns=ns(server.failed_retry_after),
        drain_timeout_ns=ns(endpoint.provisioning.drain_timeout), keep_on_disk=server.keep_on_disk,
        model_cache=server.model_cache == "enabled", unload_stalls_admission=server.unload_stalls_admission)


def _interference(server: Server, models: tuple[BuiltModel, ...]) -> float:
    """The scenario's, else the largest of the profiles': the device has one."""
    known = (model.profile.interference_k or 0.0 for model in models)
    return max(known, default=0.0) if server.interference is None else server.interference


def _load_slowdown(server: Server, models: tuple[BuiltModel, ...]) -> float:
    """The scenario's, else the largest of the profiles': a load slows down all that runs on the instance."""
    known = (model.profile.load_slowdown or 1.0 for model in models)
    return max(known, default=1.0) if server.load_slowdown is None else server.load_slowdown


def _plane_spec(scenario: Scenario, kind: InstanceType, models: tuple[BuiltModel, ...]) -> PlaneSpec:
    server, retries, seed = scenario.endpoint.server, scenario.workload.retries, scenario.seed
    return PlaneSpec(
        services=tuple(model.service for model in models), cpu_capacity_q16=kind.vcpus * ONE_Q16,
        interference_q16=round(_interference(server, models) * ONE_Q16),
        frontend_threads=frontend_threads(server, (model.profile for model in models)),
        timeout_ns=ns(server.invocation_timeout),
        retry=RetrySpec(retries.attempts, ns(retries.backoff), round(retries.factor * ONE_Q16),
                        round(retries.jitter * ONE_Q16), tuple(retries.on)),
        route_seed=route_seed(seed), retry_seed=draw(seed, 0, 1), record_requests=scenario.output.requests)


def route_seed(seed: int) -> int:
    """Seed of the random numbers that routers are offered."""
    return draw(seed, 0, 0)
