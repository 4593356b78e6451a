"""What a scenario names: instance type, profiles, policies, files, models, zones. Every name must stand for something.

The second of three passes (shape, references, sense). Problems carry the setting's dotted path; the loader adds file
and line.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from mmesim.catalog import InstanceType, load_catalog
from mmesim.core.policy import Policies
from mmesim.errors import InputError, Problem, alternatives
from mmesim.policies import registry
from mmesim.profile import ModelProfile, load_profile, profile_names
from mmesim.profile.model import ON_CPU
from mmesim.scenario.endpoint import Endpoint, PolicyRef, Server
from mmesim.scenario.models import MAX_MODELS, ModelGroup
from mmesim.scenario.needs import missing_numbers
from mmesim.scenario.schema import Scenario
from mmesim.scenario.workload_spec import workload_models, workload_spec
from mmesim.workload.build import check
from mmesim.workload.trace import id_map, trace_left_s
from mmesim.workload.tracefile import COUNTS, TraceFile
from mmesim.yamldoc import missing_file

Result = TypeVar("Result")
_IN_PROFILE = {"load_time": "load_time_s", "max_queue_delay": "max_queue_delay_s"}
"""Overrides that a profile calls by another name."""
_INDEX = re.compile(r"\[(\d+)\]")


@dataclass(frozen=True)
class Group:
    """Models that are alike: the profile's numbers with the scenario's in place of them where it gives any."""

    settings: ModelGroup
    profile: ModelProfile

    def value(self, name: str) -> Any:
        """The number a model group may override (``gpu_bytes``, ``load_time`` …): the group's, else the profile's."""
        given = getattr(self.settings, name)
        return getattr(self.profile, _IN_PROFILE.get(name, name)) if given is None else given

    @property
    def has_queue_limits(self) -> bool:
        """Triton forms no batches ahead then: requests must stay in the queue that the limits are about.

        Source: triton-inference-server/core, src/scheduler_utils.cc, `PriorityQueue::SupportPrefetching`.
        """
        return bool(self.settings.max_queue_size or self.settings.queue_timeout)


def frontend_threads(server: Server, profiles: Iterable[ModelProfile]) -> int:
    """The scenario's, else the most that a profile's times were found with."""
    most = max((profile.frontend_threads for profile in profiles), default=1)
    return most if server.frontend_threads is None else server.frontend_threads


@dataclass(frozen=True)
class References:
    """What the names of a scenario stand for. Policies are fresh objects: one set for one run."""

    instance_type: InstanceType
    groups: tuple[Group, ...]
    policies: Policies


def resolve(scenario: Scenario) -> References:
    """What the scenario's names stand for. Raises InputError with all that stand for nothing."""
    if (total := sum(group.count for group in scenario.models)) > MAX_MODELS:
        raise InputError(Problem(f"{total:,} models", path="models", hint=f"at most {MAX_MODELS:,} can be simulated"))
    found = _Finder()
    instance_type = found.get("endpoint.instance_type", partial(_instance_type, scenario))
    profiles = [found.get(f"models.{i}.profile", partial(_profile, scenario, group.profile))
                for i, group in enumerate(scenario.models)]
    policies = _policies(scenario.endpoint, scenario.base_dir, found)
    found.problems += [*_of_instances(scenario), *_of_names(scenario), *_of_faults(scenario)]
    found.get("workload", partial(_check_workload, scenario))
    groups = tuple(Group(*pair) for pair in zip(scenario.models, profiles, strict=True) if pair[1] is not None)
    if instance_type is not None:
        found.problems += _of_gpus(scenario, instance_type, profiles) or missing_numbers(scenario.models, profiles)
    if found.problems or instance_type is None or policies is None:
        raise InputError(found.problems)
    return References(instance_type, groups, policies)


class _Finder:
    """Looks things up and gathers what was not found."""

    def __init__(self) -> None:
        self.problems: list[Problem] = []

    def get(self, path: str, look_up: Callable[[], Result]) -> Result | None:
        """What `look_up` finds; None, and a problem at `path`, when it raises."""
        try:
            return look_up()
        except InputError as error:
            self.problems += [replace(found, path=_INDEX.sub(r".\1", found.path) or path) for found in error.problems]
        except registry.PolicyError as error:
            self.problems += [Problem(one.message, path=f"{path}.{one.param}".rstrip("."), hint=one.hint)
                              for one in (error, *error.more)]
        return None


def _instance_type(scenario: Scenario) -> InstanceType:
    return load_catalog(scenario.instance_types)[scenario.endpoint.instance_type]


def _profile(scenario: Scenario, name: str) -> ModelProfile:
    if name in scenario.profiles or name.endswith((".yaml", ".yml")):
        file = scenario.base_dir / scenario.profiles.get(name, name)
        _check_file(file, f"profiles.{name}" if name in scenario.profiles else "")
        return load_profile(file)
    return load_profile(name, {own: scenario.base_dir / file for own, file in scenario.profiles.items()})


def resolve_policies(endpoint: Endpoint, base_dir: Path) -> Policies:
    """Fresh policies of an endpoint; files named in it are relative to `base_dir`. Raises InputError."""
    found = _Finder()
    policies = _policies(endpoint, base_dir, found)
    if policies is None:
        raise InputError(found.problems)
    return policies


def _policies(endpoint: Endpoint, base_dir: Path, found: _Finder) -> Policies | None:
    def make(kind: str, path: str, ref: PolicyRef) -> Any:
        return found.get(f"endpoint.{path}", lambda: registry.resolve(kind, ref.use, ref.params, base_dir))

    made = (make("routing", "routing", endpoint.routing), make("placement", "placement", endpoint.placement),
            make("eviction", "eviction.gpu", endpoint.eviction.gpu),
            make("eviction", "eviction.disk", endpoint.eviction.disk),
            make("prewarm", "prewarm", endpoint.prewarm), make("admission", "admission", endpoint.admission),
            tuple(make("autoscaling", f"autoscaling.{i}", ref) for i, ref in enumerate(endpoint.autoscaling)))
    return Policies(*made) if None not in (*made, *made[-1]) else None


def _of_instances(scenario: Scenario) -> Iterator[Problem]:
    n = scenario.endpoint.instances
    if not n.min <= n.initial <= n.max:
        yield Problem(f"initial {n.initial} does not lie between min {n.min} and max {n.max}",
                      path="endpoint.instances", hint="write min <= initial <= max; max defaults to initial, min to 1")


def _of_names(scenario: Scenario) -> Iterator[Problem]:
    """Names of models are unique, and what refers to models finds some."""
    names = [group.names() for group in scenario.models]
    times = Counter(name for group in names for name in group)
    for i, group in enumerate(names):
        if twice := next((name for name in group if times[name] > 1), None):
            yield Problem(f"{times[twice]} models are called {twice!r}", path=f"models.{i}.name",
                          hint="give each group a name of its own, with {i} where there are several models")
    for i, fault in enumerate(scenario.faults):
        pattern = getattr(fault, "models", "*")
        if not any(fnmatchcase(name, pattern) for name in times):
            yield Problem(f"no model matches {pattern!r}", path=f"faults.{i}.models", hint=alternatives(pattern, times))
    for pattern in scenario.objective.models:
        if not any(fnmatchcase(name, pattern) for name in times):
            yield Problem(f"no model matches {pattern!r}", path=f"objective.models.{pattern}",
                          hint=alternatives(pattern, times))
    for name in getattr(scenario.workload.popularity, "weights", {}):
        if name not in times:
            yield Problem("is not a model of this scenario", path=f"workload.popularity.weights.{name}",
                          hint=alternatives(name, times))


def _of_faults(scenario: Scenario) -> Iterator[Problem]:
    """Instances and zones are numbers that the endpoint has."""
    limits = {"instance": scenario.endpoint.instances.max, "zone": scenario.endpoint.availability_zones}
    for i, fault in enumerate(scenario.faults):
        for what, limit in limits.items():
            number = getattr(fault, what, "random")
            if number != "random" and number >= limit:
                yield Problem(f"there is no {what} {number}", path=f"faults.{i}.{what}",
                              hint=f"write 0 to {limit - 1}, or random")


def _check_workload(scenario: Scenario) -> None:
    """Surges find models; recorded workloads are there, of the right kind, and not empty."""
    spec, models = workload_spec(scenario), workload_models(scenario)
    check(spec, models)
    if spec.arrivals.file is not None:
        _check_file(spec.arrivals.file, "workload.arrivals.file")
        TraceFile(spec.arrivals.file, COUNTS, "workload.arrivals.file")
    if spec.trace is not None:
        _check_file(spec.trace.file, "workload.trace")
        trace_left_s(spec.trace, spec.start_s)
        id_map(spec.trace, models)


def _check_file(file: Path, path: str) -> None:
    if not file.is_file():
        missing = missing_file(file)
        hint = f"name your file with --set {path}=FILE, or in the scenario; {missing.hint}"
        raise InputError(replace(missing, message=f"no such file: {file}", file="", path=path, hint=hint))


def _of_gpus(scenario: Scenario, kind: InstanceType, profiles: list[ModelProfile | None]) -> list[Problem]:
    """Service times hold for the device that they were measured on."""
    device, found = kind.gpu or ON_CPU, []
    for i, profile in enumerate(profiles):
        if profile is not None and profile.gpu != device:
            fitting = [name for name in profile_names() if load_profile(name).gpu == device]
            found.append(Problem(f"{profile.name} was measured on {profile.gpu}, but {kind.name} has {device}",
                                 path=f"models.{i}.profile", hint=f"profiles for {device}: "
                                 f"{', '.join(fitting) or 'none'}; or measure your own"))
    return found
