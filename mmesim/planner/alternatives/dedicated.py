"""Each model on an endpoint of its own (SageMaker single-model endpoints): no sharing, no cold starts, N bills.

Instances of one model = max(least, ⌈busiest requests/s · busy seconds / utilisation⌉), on the type where that is
cheapest. One copy per instance, so types with several GPUs are left aside.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import numpy as np

from mmesim.catalog import InstanceType, load_catalog
from mmesim.planner.alternatives.kinds import in_order, price
from mmesim.planner.alternatives.needs import UTILISATION, Floats, GroupNeed, needs_of, shared_instances
from mmesim.results.fleet import HOURS_PER_MONTH
from mmesim.results.plan import Alternative
from mmesim.scenario.schema import Scenario

KIND: Final = "dedicated endpoints"


def dedicated(scenario: Scenario, asked_rps: Floats, busiest_rps: Floats, *, utilisation: float = UTILISATION,
              least_per_endpoint: int = 1, types: Sequence[InstanceType] | None = None) -> Alternative:
    """Every model on its own endpoint; `asked_rps` (models,) mean, `busiest_rps` (models,) in the busiest time.

    `types`: what may be chosen from, with prices and with the GPU that the scenario's profiles are for; None: all such.
    """
    single = [kind for kind in in_order(types, scenario) if kind.gpu_count <= 1]
    parts: list[Mapping[str, Any]] = []
    for need in needs_of(scenario):
        possible = [kind for kind in single if need.fits(scenario, kind)]
        if not possible:
            return Alternative(KIND, False, None, None, f"{need.profile} fits on none of the types with its GPU")
        parts += _parts(need, possible, asked_rps[need.rows], busiest_rps[need.rows], utilisation, least_per_endpoint)
    return Alternative(KIND, True, sum(part["cost_per_month"] for part in parts),
                       sum(part["instances"] for part in parts),
                       _why(scenario, busiest_rps, utilisation, least_per_endpoint), parts=parts)


def _parts(need: GroupNeed, kinds: Sequence[InstanceType], asked: Floats, busiest: Floats, utilisation: float,
           least: int) -> Iterator[Mapping[str, Any]]:
    """A row for each type that is the cheapest for some models of the group."""
    instances = np.array([need.instances(busiest, kind.vcpus, utilisation, least) for kind in kinds])
    cost = instances * np.array([price(kind) for kind in kinds])[:, None]
    best = cost.argmin(axis=0)
    for k in np.unique(best):
        those = best == k
        yield {"models": need.label, "endpoints": int(those.sum()), "instance_type": kinds[k].name,
               "instances": int(instances[k, those].sum()), "requests_per_s": float(asked[those].sum()),
               "cost_per_month": float(cost[k, those].sum()) * HOURS_PER_MONTH}


def _why(scenario: Scenario, busiest_rps: Floats, utilisation: float, least: int) -> str:
    kind = load_catalog(scenario.instance_types)[scenario.endpoint.instance_type]
    shared = shared_instances(scenario, busiest_rps, kind, utilisation=utilisation, least=least)
    each = f"at least {least} instance{'' if least == 1 else 's'} each"
    return (f"each model on the cheapest type that holds it, {each}, at most {utilisation:.0%} busy in the busiest "
            f"time, requests one at a time; where all share one endpoint the same arithmetic asks for {shared} x "
            f"{kind.name}")
