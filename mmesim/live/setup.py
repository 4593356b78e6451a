"""What an endpoint is made of before anything happens: enough to build its controller again, anywhere."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from mmesim.core.policy import ClairvoyantEviction, Policies, every
from mmesim.core.types import EndpointSpec, InstanceSpec, ModelSpec
from mmesim.errors import InputError, Problem
from mmesim.scenario.endpoint import Endpoint
from mmesim.scenario.references import resolve_policies


@dataclass(frozen=True)
class Setup:
    """A live endpoint's constants. `models` has a place for each model that may ever come."""

    name: str
    seed: int
    spec: EndpointSpec
    settings: Endpoint
    """The policies are named here."""
    base_dir: Path
    """Files of policies are relative to it."""
    models: tuple[ModelSpec, ...]
    desired: int

    def policies(self) -> Policies:
        """A fresh set. Raises InputError: unknown ones, and those that only a simulation can run."""
        policies = resolve_policies(self.settings, self.base_dir)
        clairvoyant = [policy.name for _, policy in every(policies) if isinstance(policy, ClairvoyantEviction)]
        if clairvoyant:
            raise InputError(Problem(f"{clairvoyant[0]} knows the requests to come", path="endpoint.eviction",
                                     hint="no real endpoint can run it: choose a policy that looks back, e.g. lru"))
        return policies

    def to_json(self) -> dict[str, Any]:
        """Plain data for a journal's header."""
        return {"name": self.name, "seed": self.seed, "desired": self.desired, "spec": asdict(self.spec),
                "settings": self.settings.model_dump(mode="json", by_alias=True), "base_dir": str(self.base_dir),
                "models": [asdict(model) for model in self.models]}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Setup:
        """What `to_json` gave. Raises KeyError, TypeError or ValueError when it is something else."""
        spec = dict(data["spec"])
        instance = InstanceSpec(**spec.pop("instance"))
        return cls(name=data["name"], seed=data["seed"], desired=data["desired"],
                   spec=EndpointSpec(instance=instance, **spec), settings=Endpoint.model_validate(data["settings"]),
                   base_dir=Path(data["base_dir"]), models=tuple(ModelSpec(**model) for model in data["models"]))
