"""The answer in plain words, from the numbers of a plan."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from mmesim.planner.plan.decide import said
from mmesim.results.plan import Alternative, Headroom, Limit, Option, Plan, Swing
from mmesim.results.targets import amount, target_title, unit_of


def sentences(plan: Plan, written: Option | None) -> list[str]:
    """Most important first. `written`: the scenario as it stands."""
    return list(_found(plan, written) if plan.chosen else _nothing_found(plan))


def _found(plan: Plan, written: Option | None) -> Iterator[str]:
    chosen = plan.chosen
    assert chosen is not None
    yield f"Deploy {chosen.name}: {money(chosen)} a month."
    yield (f"It meets every target, each at {100 * plan.confidence:g} %, in {chosen.seeds} runs with different seeds: "
           f"{'; '.join(map(said, chosen.targets))}.")
    yield from _of_limits(plan.limits)
    yield from _of_growth(plan.headroom)
    if plan.runner_up:
        yield f"Runner-up: {plan.runner_up.name}, {money(plan.runner_up)} a month: {plan.runner_up.why}."
    if written and written.name != chosen.name:
        yield f"As written, {money(written)} a month: {_verdict(written)}."
    yield from _of_survival(plan)
    yield from _of_alternatives(plan.alternatives, chosen)
    yield from _of_swings(plan.swings)


def _nothing_found(plan: Plan) -> Iterator[str]:
    yield "Nothing in the space meets the objective."
    if plan.nearest is None:
        yield from dict.fromkeys(f"{option.instance_type}: {option.why}." for option in plan.options
                                 if option.status == "ruled out")
        return
    found = plan.nearest.targets
    yield f"Nearest: {plan.nearest.name}, {money(plan.nearest)} a month: {'; '.join(map(said, found))}."
    reached = [f"{target_title(target.name)} {amount(target.value.mean, target.unit)}" for target in found
               if target.status != "met" and target.value is not None]
    if reached:
        yield f"The nearest objective that it can meet: {', '.join(reached)}."
    yield from _of_limits(plan.limits, "It is blocked by")
    for one in plan.alternatives:
        if one.kind == "mixed fleet" and one.possible and one.cost_per_month is not None:
            yield f"A mixed fleet would do, with ${one.cost_per_month:,.0f} a month: {one.why}."


def _of_limits(limits: Sequence[Limit], head: str = "A smaller fleet fails for want of") -> Iterator[str]:
    binding = [limit for limit in limits if limit.binds]
    if not limits:
        return
    if binding:
        first = binding[0]
        more = f" (so would {', '.join(limit.change for limit in binding[1:])})" if binding[1:] else ""
        yield (f"{head} {first.resource}: {target_title(first.target)} is {_value(first, first.before)}, and with "
               f"{first.change} would be {_value(first, first.after)}{more}.")
    else:
        best = limits[0]
        yield (f"No single resource is what is missing: {best.change} helps most ({target_title(best.target)} "
               f"from {_value(best, best.before)} to {_value(best, best.after)}), and does not do alone.")


def _value(limit: Limit, value: float | None) -> str:
    return amount(value, unit_of(limit.target))


def _of_growth(headroom: Sequence[Headroom]) -> Iterator[str]:
    for one in headroom:
        more = f"{one.holds - 1:.0%}"
        if one.fails is None:
            yield f"It takes {more} more {one.what} and would take more."
        else:
            missed = target_title(one.target)
            yield f"It takes {more} more {one.what}; with {one.fails - 1:.0%} more it misses {missed}."


def _of_survival(plan: Plan) -> Iterator[str]:
    missed = [target for target in plan.survival if target.status != "met"]
    if plan.survival and missed:
        yield f"It is not N+1: {'; '.join(map(said, missed))}."
    elif plan.survival:
        yield "It is N+1: every target holds in the time after an instance is lost."


def _of_alternatives(found: Sequence[Alternative], chosen: Option) -> Iterator[str]:
    for one in found:
        if one.kind == "as written":
            continue
        if not one.possible or one.cost_per_month is None:
            yield f"{one.kind[0].upper()}{one.kind[1:]}: not possible: {one.why}."
        else:
            ratio = one.cost_per_month / chosen.cost_per_month.mean if chosen.cost_per_month else None
            times = f", {ratio:.3g} times as much" if ratio else ""
            yield f"{one.kind[0].upper()}{one.kind[1:]}: ${one.cost_per_month:,.0f} a month{times} ({one.why})."


def _of_swings(swings: Sequence[Swing]) -> Iterator[str]:
    ends = [f"{swing.setting} {end}" for swing in swings
            for end, met in ((swing.low, swing.met_low), (swing.high, swing.met_high)) if met is False]
    if ends:
        yield f"It would miss the objective with: {'; '.join(ends)}."
    elif swings:
        yield "It meets the objective at both ends of every assumption that was varied."


def _verdict(option: Option) -> str:
    return "it meets the objective" if option.status == "met" else f"{option.status}: {option.why}"


def money(option: Option) -> str:
    """``$2,058``; with the interval where there is one."""
    cost = option.cost_per_month
    if cost is None:
        return "a price that nobody knows"
    width = f" [{cost.low:,.0f}, {cost.high:,.0f}]" if cost.n > 1 and cost.high > cost.low else ""
    return f"${cost.mean:,.0f}{width}"
