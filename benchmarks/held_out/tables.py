"""What stands in docs/plan-held-out.md: a line for each configuration, and the figures beside."""

from __future__ import annotations

import math

from benchmarks.held_out.judge import Judged
from benchmarks.held_out.trial import Held
from benchmarks.page import table
from mmesim.results.comparison import Interval
from mmesim.results.plan import Plan, TargetFound
from mmesim.results.targets import amount, target_title


def rows(held: Held) -> str:
    """The table: means with 95 % intervals over seeds."""
    titles = [f"{target_title(one.name)} ≤ {_amount(one.limit, one.unit)}" for one in held.hindsight.targets]
    lines = [("", "objective", *titles, "instances (most)", "USD a month", "against hindsight")]
    lines += [_row(one, held.hindsight) for one in held.judged]
    return table(lines)


def _row(one: Judged, best: Judged) -> tuple[str, ...]:
    ratio = one.cost_per_month.mean / best.cost_per_month.mean - 1
    return (one.name, one.status, *map(_target, one.targets), f"{one.instances.mean:.2f} ({one.most:.0f})",
            _cost(one.cost_per_month), "" if one is best else f"{100 * ratio:+.0f} %")


def _target(found: TargetFound) -> str:
    """Lower and upper bound, each at its share of the confidence; in bold what is missed."""
    if found.value is None:
        return "–"
    mean, low, high = (_amount(value, found.unit) for value in (found.value.mean, found.value.low, found.value.high))
    text = mean if low == high == mean else f"{mean} [{low}, {high}]"
    return f"**{text}**" if found.status == "missed" else text


def _amount(value: float | None, unit: str) -> str:
    """Times in seconds with three digits: here a minute more or less decides."""
    is_time = unit == "ms" and value is not None and math.isfinite(value)
    return f"{value / 1e3:.3g} s" if is_time and value is not None else amount(value, unit)


def _cost(cost: Interval) -> str:
    if cost.high - cost.low < 0.005 * cost.mean:
        return f"{cost.mean:,.0f}"
    return f"{cost.mean:,.0f} [{max(0.0, cost.low):,.0f}, {cost.high:,.0f}]"


def facts(held: Held) -> str:
    """Requests, what the plan promised, and what the rules of thumb rest on."""
    lines = [f"- Requests: {held.first.requests:,} to plan on, {held.rest.requests:,} to be judged on."]
    if held.world.has_days:
        lines.append(f"- Requests a day, as planned on: {_days(held.first.per_day)}; "
                     f"then: {_days(held.rest.per_day[1:])}.")
    lines += [_promise(name, plan) for name, plan in held.plans.items()]
    lines += [f"- Headroom of the plan as foretold: {one.what} x {one.holds:.3g}"
              + (f", fails at {one.fails:.3g} ({target_title(one.target)})." if one.fails else ".")
              for one in held.plans["the plan"].headroom]
    known = held.known
    lines.append(f"- Rules of thumb: {known.for_memory} instances for the working set, {known.for_work} for the work "
                 f"of the busiest hour; MAX_RPS {known.max_rps:.3g} an instance.")
    return "\n".join(lines)


def _promise(name: str, plan: Plan) -> str:
    option = plan.chosen or plan.nearest
    assert option
    cost = f", ${option.cost_per_month.mean:,.0f} a month" if option.cost_per_month else ""
    targets = ", ".join(f"{target_title(one.name)} {_amount(one.value.mean if one.value else None, one.unit)}"
                        for one in option.targets)
    effort = f"{plan.effort['runs']} runs, {plan.effort['requests']:,} requests"
    return f"- {name}: {option.name} ({option.status} where it was planned: {targets}{cost}); {effort}."


def _days(days: tuple[int, ...]) -> str:
    return " ".join(map(str, days))
