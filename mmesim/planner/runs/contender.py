"""A variant of a scenario: its name, what is changed, and the digests of all that its runs depend on."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

from mmesim.planner.runs.digest import digest_of
from mmesim.scenario.endpoint import Endpoint
from mmesim.scenario.schema import Scenario

UNBOUNDING = ("routing", "placement", "eviction", "prewarm", "admission", "availability_zones", "provisioning",
              "metrics", "framework_versions")
"""Settings of the endpoint that do not move the bound."""


@dataclass(frozen=True)
class Contender:
    """One variant, checked."""

    name: str
    settings: dict[str, str]
    """Setting path -> value as written; empty for the scenario as it stands."""
    scenario: Scenario = field(repr=False)

    @cached_property
    def digest(self) -> str:
        """Of all that its runs depend on, but the seed."""
        return digest_of(self.scenario)

    @cached_property
    def bound_digest(self) -> str:
        """Of all that the bound of its requests depends on: the same for variants that differ in `UNBOUNDING` only."""
        usual = Endpoint()
        plain = self.scenario.endpoint.model_copy(update={name: getattr(usual, name) for name in UNBOUNDING})
        return digest_of(self.scenario.model_copy(update={"endpoint": plain, "faults": ()}))
