"""What a plan is asked: the scenario as written, the space of its `plan` section, and where runs are made and kept."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from mmesim.catalog import Catalog, InstanceType, load_catalog
from mmesim.errors import InputError, Problem, alternatives
from mmesim.parallel import Workers
from mmesim.profile import ModelProfile
from mmesim.results.objective import Target, asked
from mmesim.scenario.load import load_scenario
from mmesim.scenario.plan import Plan as Settings
from mmesim.scenario.schema import Scenario

AS_MEANT = ("checks={intended_overload: true, hopeless_objective: true}",)
"""A plan looks at fleets that are too small, and says so of objectives that none can meet."""

OWN = ("endpoint.instance_type", "endpoint.instances", "seed", "name")
"""Settings that a plan sets itself."""


@dataclass(frozen=True)
class Scaled:
    """A profile on a GPU that its model was not measured on."""

    text: str
    """As YAML."""
    rests_on: str
    error: float
    """Median error of the rule's times, as a fraction."""


Scale = Callable[[ModelProfile, str], Scaled | None]
"""A profile and a GPU -> the profile there; None: there is no rule."""


@dataclass(frozen=True)
class Question:
    """One plan to be made."""

    file: str
    """A scenario file or the name of a packaged one."""
    overrides: Sequence[str]
    """``path=value`` on top of it."""
    folder: Path
    """Of the plan: runs are kept in its ``.cells``, scaled profiles in its ``profiles``."""
    workers: Workers = field(default_factory=Workers)
    scale: Scale | None = field(default=None, repr=False)
    name: str = "plan"
    command: str = ""

    @cached_property
    def scenario(self) -> Scenario:
        """As written. Raises InputError."""
        return self.load(())

    def load(self, changes: Sequence[str]) -> Scenario:
        """The scenario with changes. Raises InputError."""
        return load_scenario(self.file, [*self.overrides, *AS_MEANT, *changes])

    @property
    def settings(self) -> Settings:
        """Its `plan` section."""
        return self.scenario.plan

    @cached_property
    def targets(self) -> tuple[Target, ...]:
        """What is asked, all of it upper limits."""
        return asked(self.scenario.objective)

    @cached_property
    def catalog(self) -> Catalog:
        """With the scenario's own rows."""
        return load_catalog(self.scenario.instance_types)

    @cached_property
    def instance_types(self) -> tuple[str, ...]:
        """Those to choose from: as asked, else the scenario's and all with its device that a multi-model endpoint can
        have and whose price is known."""
        own = self.scenario.endpoint.instance_type
        if self.settings.instance_types:
            return tuple(dict.fromkeys(self.settings.instance_types))
        device = self.catalog[own].gpu
        return tuple(dict.fromkeys([own, *(kind.name for kind in self._known() if _is_like(kind, device))]))

    def _known(self) -> Iterator[InstanceType]:
        for name in self.catalog:
            try:
                yield self.catalog[name]
            except InputError:  # too little is published about it
                continue

    def check(self) -> None:
        """Raises InputError with everything that cannot be planned."""
        problems = list(self._problems())
        if problems:
            raise InputError(problems)

    def _problems(self) -> Iterator[Problem]:
        scenario, settings = self.scenario, self.settings
        if not self.targets:
            yield Problem("nothing to plan for: the scenario has no objective",
                          hint="give one, e.g. --set objective.p99_ms=500 --set objective.error_rate=0.1%")
        for i, name in enumerate(settings.instance_types):
            if name not in self.catalog:
                yield Problem(f"unknown instance type {name!r}", path=f"plan.instance_types.{i}",
                              hint=alternatives(name, list(self.catalog)))
        if settings.survive == "zone" and scenario.endpoint.availability_zones < 2:
            yield Problem("there is one availability zone: nothing survives its loss", path="plan.survive",
                          hint="set endpoint.availability_zones to 2 or more")
        if scenario.workload.clients is not None and settings.survive != "nothing":
            yield Problem("the busiest time of a closed loop is not known", path="plan.survive",
                          hint="plan with open arrivals or a trace")
        for path in (*settings.choose, *settings.tune):
            if path in OWN or path.startswith("plan."):
                where = "plan.choose" if path in settings.choose else "plan.tune"
                yield Problem(f"{path} is not chosen here", path=where,
                              hint="instance types and the size of the fleet have settings of their own in plan")


def _is_like(kind: InstanceType, device: str | None) -> bool:
    """One device of that kind, or none where none is asked for, for a price."""
    if kind.price_per_hour is None or kind.gpu != device:
        return False
    return device is None or (kind.gpu_count == 1 and kind.mme_gpu_listed)
