"""The composition root: from a validated scenario to the objects that a run is made of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from mmesim.catalog import InstanceType, load_catalog
from mmesim.core.policy import Policies
from mmesim.core.types import EndpointSpec, ModelSpec
from mmesim.dataplane.api import ONE_Q16, PlaneSpec, RetrySpec, ServiceSpec, draw
from mmesim.policies.registry import resolve
from mmesim.profile import ModelProfile, load_profile
from mmesim.scenario.build_models import ModelBuilder
from mmesim.scenario.endpoint import PolicyRef
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


def build(scenario: Scenario) -> Build:
    """Build one run. The scenario has passed the door; files only the workload reads may still raise InputError."""
    instance_type = load_catalog(scenario.instance_types)[scenario.endpoint.instance_type]
    builder = ModelBuilder(scenario, instance_type)
    profiles = group_profiles(scenario)
    models = tuple(BuiltModel(*parts) for group in scenario.models
                   for parts in builder.group(group, profiles[group.profile]))
    seed, spec = scenario.seed, workload_spec(scenario)
    duration_ns = ns(duration_s(scenario))
    asked = workload_models(scenario)
    clients = build_closed_loop(spec, asked, seed) if spec.clients else None
    return Build(
        scenario=scenario, seed=seed, duration_ns=duration_ns, warmup_ns=ns(scenario.warmup),
        instance_type=instance_type, models=models, endpoint=_endpoint_spec(scenario, instance_type),
        policies=_policies(scenario), plane=_plane_spec(scenario, instance_type, models),
        arrivals=None if clients else build_arrivals(spec, asked, seed, duration_ns), clients=clients)


def group_profiles(scenario: Scenario) -> dict[str, ModelProfile]:
    """The profile of each name that the models use."""
    extra = {name: scenario.base_dir / path for name, path in scenario.profiles.items()}
    return {name: load_profile(_path_or_name(name, scenario.base_dir), extra)
            for name in dict.fromkeys(group.profile for group in scenario.models)}


def _path_or_name(name: str, base_dir: Path) -> str:
    return str(base_dir / name) if name.endswith((".yaml", ".yml")) else name


def _endpoint_spec(scenario: Scenario, kind: InstanceType) -> EndpointSpec:
    server, instances = scenario.endpoint.server, scenario.endpoint.instances
    return EndpointSpec(
        instance=instance_spec(server, kind), min_instances=instances.min, max_instances=instances.max,
        load_threads=server.load_threads, download_threads=server.download_threads,
        load_retries=server.load_retries, load_timeout_ns=ns(server.load_timeout),
        failed_retry_after_ns=ns(server.failed_retry_after),
        drain_timeout_ns=ns(scenario.endpoint.provisioning.drain_timeout), keep_on_disk=server.keep_on_disk,
        model_cache=server.model_cache == "enabled", unload_stalls_admission=server.unload_stalls_admission)


def _policies(scenario: Scenario) -> Policies:
    endpoint, base_dir = scenario.endpoint, scenario.base_dir

    def of(kind: str, ref: PolicyRef):  # type: ignore[no-untyped-def]
        params: Mapping[str, object] = ref.params
        return resolve(kind, ref.use, params, base_dir)

    return Policies(
        routing=of("routing", endpoint.routing), placement=of("placement", endpoint.placement),
        gpu_eviction=of("eviction", endpoint.eviction.gpu), disk_eviction=of("eviction", endpoint.eviction.disk),
        prewarm=of("prewarm", endpoint.prewarm), admission=of("admission", endpoint.admission),
        autoscaling=tuple(of("autoscaling", ref) for ref in endpoint.autoscaling))


def _plane_spec(scenario: Scenario, kind: InstanceType, models: tuple[BuiltModel, ...]) -> PlaneSpec:
    server, retries, seed = scenario.endpoint.server, scenario.workload.retries, scenario.seed
    return PlaneSpec(
        services=tuple(model.service for model in models), cpu_capacity_q16=kind.vcpus * ONE_Q16,
        interference_q16=round(server.interference * ONE_Q16), timeout_ns=ns(server.invocation_timeout),
        retry=RetrySpec(retries.attempts, ns(retries.backoff), round(retries.factor * ONE_Q16),
                        round(retries.jitter * ONE_Q16), tuple(retries.on)),
        route_seed=draw(seed, 0, 0), retry_seed=draw(seed, 0, 1), record_requests=scenario.output.requests)
