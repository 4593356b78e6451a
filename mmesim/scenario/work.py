"""How long a request's work takes at the least: alone, and in the best batches."""

from __future__ import annotations

from collections.abc import Callable

from mmesim.scenario.references import Group
from mmesim.scenario.schema import Scenario


def bare_s(scenario: Scenario, group: Group) -> float:
    """Time of a request that waits for nothing and is batched with no other."""
    items, profile = scenario.workload.items, group.profile
    return float(profile.service_s(items) + profile.host_cpu_s_of(items) + profile.frontend_s_of(items)
                 + overhead_s(scenario, group))


def overhead_s(scenario: Scenario, group: Group) -> float:
    """Time of a request on the wire and in the server's front end, besides its work."""
    return float(group.profile.overhead_s or 0.0) + scenario.endpoint.server.frontend_overhead


def least_per_item(group: Group, seconds: Callable[[int], float]) -> float:
    """Least time per item over the batch sizes that are possible: S(b) is linear between measured points. Where a batch
    leaves the device for a while (gap), the time on it is not, and every size counts."""
    most = max(1, group.value("max_batch_size"))
    assert group.profile.file.latency is not None
    measured = [point.batch for point in group.profile.file.latency.batches if point.batch <= most]
    sizes = range(1, max(measured, default=1) + 1) if group.profile.has_gap else measured
    return float(min(seconds(size) / size for size in {1, most, *sizes}))
