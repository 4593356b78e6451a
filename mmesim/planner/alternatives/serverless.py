"""Each model as a serverless endpoint: whether its limits allow it, with every reason why not.

Limits (Developer Guide, serverless-endpoints; API): no GPU, memory 1 to 6 GB in steps of 1 GB, 5 GB of disk, bodies up
to 4 MB, answers within 60 s, 200 requests at once per endpoint, 50 endpoints per account, one model each. Billed by
memory times time of requests; that price is not in the catalog.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from math import ceil
from typing import Any, Final

from mmesim.planner.alternatives.needs import Floats, GroupNeed, needs_of
from mmesim.results.fleet import HOURS_PER_MONTH
from mmesim.results.plan import Alternative
from mmesim.scenario.references import resolve
from mmesim.scenario.schema import Scenario
from mmesim.units import GIB, format_bytes, format_duration

KIND: Final = "serverless"
MOST_MEMORY_GB = 6
DISK_BYTES = 5 * GIB
ANSWER_S = 60.0
MOST_AT_ONCE = 200
MOST_ENDPOINTS = 50


def serverless(scenario: Scenario, asked_rps: Floats, busiest_rps: Floats, *,
               price_per_gb_s: float | None = None) -> Alternative:
    """Every model as a serverless endpoint; `asked_rps` (models,) mean, `busiest_rps` (models,) in the busiest time.

    `price_per_gb_s`: dollars for a gigabyte of memory during a second of a request; None: unknown, and so is the cost.
    """
    needs, base = needs_of(scenario), scenario.endpoint.server.host_base_bytes
    if reasons := list(_against(scenario, needs, busiest_rps)):
        return Alternative(KIND, False, None, None, "; ".join(reasons))
    parts = [_part(need, base, asked_rps, busiest_rps, price_per_gb_s) for need in needs]
    why = "within the limits of serverless endpoints, if bodies are at most 4 MB and its CPUs as fast as the profiles'"
    if price_per_gb_s is None:
        return Alternative(KIND, True, None, None, f"{why}; the catalog has no price for it", parts=parts)
    return Alternative(KIND, True, sum(part["cost_per_month"] for part in parts), None,
                       f"{why}; memory times time of each request, cold starts not billed", parts=parts)


def memory_gb(need: GroupNeed, base_bytes: int) -> int:
    """Memory to ask for, in the steps that there are, with a server that takes `base_bytes` itself."""
    return ceil((need.host_bytes + base_bytes) / GIB)


def _part(need: GroupNeed, base_bytes: int, asked: Floats, busiest: Floats, price: float | None) -> Mapping[str, Any]:
    size, seconds = memory_gb(need, base_bytes), float(asked[need.rows].sum()) * need.answer_s * 3600 * HOURS_PER_MONTH
    return {"models": need.label, "endpoints": need.count, "memory_gb": size,
            "most_at_once": max(1, ceil(float(busiest[need.rows].max()) * need.answer_s)),
            "gb_seconds_per_month": size * seconds, "cost_per_month": None if price is None else size * seconds * price}


def _against(scenario: Scenario, needs: list[GroupNeed], busiest: Floats) -> Iterator[str]:
    """Every reason against it."""
    on_gpu = resolve(scenario).instance_type.gpu is not None
    if on_gpu:
        yield f"there is no GPU, and {', '.join(dict.fromkeys(need.profile for need in needs))} not known on a CPU"
    if (models := sum(need.count for need in needs)) > MOST_ENDPOINTS:
        yield f"{models:,} models are as many endpoints, and an account has {MOST_ENDPOINTS}"
    for need in needs:
        yield from _against_group(need, on_gpu, busiest, scenario.endpoint.server.host_base_bytes)


def _against_group(need: GroupNeed, on_gpu: bool, busiest: Floats, base_bytes: int) -> Iterator[str]:
    if (size := memory_gb(need, base_bytes)) > MOST_MEMORY_GB:
        yield f"{need.profile} needs {size} GB of memory, at most {MOST_MEMORY_GB} can be had"
    if need.disk_bytes > DISK_BYTES:
        yield f"{need.profile} takes {format_bytes(need.disk_bytes)} of disk, there are {format_bytes(DISK_BYTES)}"
    if on_gpu:
        return  # its time on a CPU is not known
    if need.answer_s > ANSWER_S:
        yield f"{need.profile} takes {format_duration(need.answer_s)} a request, at most 60 s are waited for"
    at_once = float(busiest[need.rows].max()) * need.answer_s
    if at_once > MOST_AT_ONCE:
        yield f"{need.profile} has {at_once:,.0f} requests at once in the busiest time, at most {MOST_AT_ONCE} go"
