"""Policies by name: the table of built-in ones, and `resolve`, which makes a policy from what a scenario says.

A built-in policy has a short name here and is imported when it is asked for. A user's own is ``module:Class`` and needs
no registration: a file beside the scenario, or an installed module (:mod:`mmesim.policies.loading`).
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TypeVar

from mmesim.core import policy as base
from mmesim.core.policy import Policy
from mmesim.errors import alternatives
from mmesim.policies.errors import PolicyError
from mmesim.policies.loading import load_class
from mmesim.policies.parameters import Parameter, parameters
from mmesim.policies.reading import build

__all__ = ["BASES", "KINDS", "Description", "Parameter", "PolicyError", "describe", "find", "kind_of", "known",
           "make", "parameters", "resolve"]

BASES: dict[str, type[Policy]] = {
    "routing": base.RoutingPolicy, "placement": base.PlacementPolicy, "eviction": base.EvictionPolicy,
    "prewarm": base.PrewarmPolicy, "admission": base.AdmissionPolicy, "autoscaling": base.AutoscalingPolicy}
"""Base class of each kind of policy."""
KINDS: tuple[str, ...] = tuple(BASES)
"""What policies decide."""

Made = TypeVar("Made", bound=Policy)

_BUILT_IN: dict[str, dict[str, str]] = {
    "routing": {"random": "random:Random", "least_outstanding": "least_outstanding:LeastOutstanding",
                "power_of_two": "power_of_two:PowerOfTwo", "join_idle_warm": "join_idle_warm:JoinIdleWarm",
                "ch_bl": "ch_bl:ChBl",
                "least_expected_completion": "least_expected_completion:LeastExpectedCompletion"},
    "placement": {"least_loaded": "least_loaded:LeastLoaded", "hash": "hash:Hash", "random": "random:Random",
                  "overcommit": "overcommit:Overcommit", "modelmesh": "modelmesh:ModelMesh",
                  "popularity_replicas": "popularity_replicas:PopularityReplicas"},
    "eviction": {"lru": "lru:Lru", "lfu": "lfu:Lfu", "fifo": "fifo:Fifo", "random": "random:Random",
                 "lfu_da": "lfu_da:LfuDa", "lru_k": "lru_k:LruK", "gdsf": "gdsf:Gdsf", "sieve": "sieve:Sieve",
                 "s3fifo": "s3fifo:S3Fifo", "ttl": "ttl:Ttl", "belady": "belady:Belady",
                 "belady_size": "belady_size:BeladySize", "pinning": "pinning:Pinning",
                 "min_residency": "min_residency:MinResidency", "churn_guard": "churn_guard:ChurnGuard",
                 "never": "never:Never"},
    "prewarm": {"none": "none:NoPrewarm", "pinned": "pinned:Pinned", "forecast": "forecast:ForecastPrewarm",
                "hybrid_histogram": "hybrid_histogram:HybridHistogram"},
    "admission": {"always": "always:Always", "queue_limit": "queue_limit:QueueLimit"},
    "autoscaling": {"fixed": "fixed:Fixed", "target_tracking": "target_tracking:TargetTracking",
                    "step": "step:StepScaling", "scheduled": "scheduled:Scheduled", "kpa": "kpa:Kpa",
                    "forecast_staffing": "forecast_staffing:ForecastStaffing",
                    "slo_feedback": "slo_feedback:SloFeedback"},
}
"""Short name to ``module:Class`` in ``mmesim.policies.<kind>``."""


@dataclass(frozen=True)
class Description:
    """A built-in policy, for documentation and the command line."""

    name: str
    summary: str
    """First paragraph of its docstring."""
    parameters: tuple[Parameter, ...]


def known(kind: str) -> tuple[str, ...]:
    """Short names of the built-in policies of a kind."""
    return tuple(_BUILT_IN[kind])


def resolve(kind: str, use: str, params: Mapping[str, object], base_dir: Path) -> Policy:
    """A fresh policy of a kind from its name and parameters as written. Raises PolicyError."""
    return make(find(kind, use, base_dir), params, base_dir)


def make(cls: type[Made], params: Mapping[str, object], base_dir: Path) -> Made:
    """A policy of a class with parameters as written; policies among them are found from `base_dir`.
    Raises PolicyError."""
    return build(cls, params, lambda base, use, its: resolve(kind_of(base) or "", use, its, base_dir))


def find(kind: str, use: str, base_dir: Path) -> type[Policy]:
    """The class of a built-in short name, or of ``module:Class`` in `base_dir` or installed. Raises PolicyError."""
    if use in _BUILT_IN[kind]:
        return _built_in(kind, use)
    if ":" not in use:
        own = '; a class of your own: "file:Class"'
        elsewhere = [other for other in KINDS if use in _BUILT_IN[other]]
        told = f"{use} is for {elsewhere[0]}; " if elsewhere else ""
        raise PolicyError(f"there is no {kind} policy {use!r}", told + alternatives(use, _BUILT_IN[kind]) + own, "use")
    try:
        return _checked(kind, load_class(use, base_dir))
    except PolicyError as error:
        raise PolicyError(error.message, error.hint, "use") from error


def kind_of(cls: type) -> str | None:
    """The kind whose base class it derives from; None for anything else."""
    return next((kind for kind, base_class in BASES.items() if issubclass(cls, base_class)), None)


def describe(kind: str) -> tuple[Description, ...]:
    """The built-in policies of a kind."""
    return tuple(Description(name, _summary(cls), parameters(cls))
                 for name in _BUILT_IN[kind] for cls in [_built_in(kind, name)])


def _built_in(kind: str, name: str) -> type[Policy]:
    module, _, class_name = _BUILT_IN[kind][name].partition(":")
    found: type[Policy] = getattr(import_module(f"mmesim.policies.{kind}.{module}"), class_name)
    return found


def _checked(kind: str, cls: type) -> type[Policy]:
    """The class, if it is a policy of the kind that can be made."""
    wanted = BASES[kind]
    if not issubclass(cls, wanted):
        other = kind_of(cls)
        told = f" (it is a policy for {other})" if other else ""
        raise PolicyError(f"{cls.__name__} does not derive from {wanted.__name__}{told}",
                          f"write class {cls.__name__}({wanted.__name__}), from mmesim.core.policy")
    missing = sorted(getattr(cls, "__abstractmethods__", ()))
    if missing:
        raise PolicyError(f"{cls.__name__} does not define {', '.join(missing)}", "docs/policies.md shows each method")
    if told := unlike(kind, cls):
        raise PolicyError(told, "docs/policies.md shows each method")
    if "__dataclass_fields__" not in vars(cls):
        raise PolicyError(f"{cls.__name__} is not a dataclass", "write @dataclass above the class")
    return cls


def unlike(kind: str, cls: type) -> str:
    """Which method of a policy cannot be called as its base class says, in words; empty when all can."""
    for name in sorted(getattr(BASES[kind], "__abstractmethods__", ())):
        wanted = list(inspect.signature(getattr(BASES[kind], name)).parameters)
        found = inspect.signature(getattr(cls, name))
        try:
            found.bind(*wanted)
        except TypeError:
            return (f"{cls.__name__}.{name} takes ({', '.join(found.parameters)}); "
                    f"it is called with ({', '.join(wanted)})")
    return ""


def _summary(cls: type) -> str:
    return (inspect.getdoc(cls) or "").partition("\n\n")[0].replace("\n", " ")
