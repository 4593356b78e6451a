"""The tables, tiles and lines of the page as plain values for its template."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from mmesim.report.intervals import Shown
from mmesim.report.plan.looks import LOOKS
from mmesim.report.plan.words import (
    amount,
    binding,
    by_margin,
    commitment_words,
    cost_of,
    dollars,
    fleet,
    headroom_words,
    limit_words,
    margin,
    per_month,
    roles,
    target_title,
    unit_of,
    with_interval,
)
from mmesim.report.wording import ABSENT, count, percent, plural
from mmesim.results.comparison import Interval
from mmesim.results.folders import finite
from mmesim.results.plan import Alternative, Limit, Option, Plan, TargetFound
from mmesim.units import format_duration

MOST_TILES = 5
"""Targets shown in large, those with the least margin; the table below has all."""
MOST_COLUMNS = 6
"""Targets in the table of options."""
_EFFORT = {"runs": ("run", "of one candidate with one seed"), "requests": ("simulated request", ""),
           "ruled_out": ("option", "ruled out by arithmetic")}


@dataclass(frozen=True)
class Tile:
    """A number in large."""

    label: str
    value: str
    below: str
    state: str
    """``met``, ``missed``, ``open`` or nothing."""


@dataclass(frozen=True)
class Entry:
    """A number of an option, with its interval."""

    value: float | None
    """What it is sorted by; None: unknown, always last."""
    shown: Shown | None
    state: str = ""


@dataclass(frozen=True)
class Row:
    """An option in the table."""

    option: Option
    role: str
    glyph: str
    fleet: str
    cost: Entry
    entries: list[Entry]


# ---- the answer


def about(plan: Plan) -> list[str]:
    """The line under the title."""
    kinds = sorted({each.instance_type for each in plan.options})
    whole, out = (sum(each.is_whole for each in plan.options), sum(each.status == "ruled out" for each in plan.options))
    facts = [plural(len(plan.options), "option"), f"{whole} simulated as a whole"]
    facts += [f"{out} ruled out by arithmetic"] if out else []
    facts += [kinds[0] if len(kinds) == 1 else plural(len(kinds), "instance type")] if kinds else []
    return [*facts, f"in brackets: {100 * plan.confidence:g} % intervals over seeds"]


def tiles(plan: Plan) -> Iterator[Tile]:
    """Cost, then the targets, of what is chosen or comes nearest."""
    option = plan.chosen or plan.nearest
    if option is None:
        return
    cost = per_month(option.cost_per_month)
    best = min(plan.commitments, key=lambda each: each.cost_per_month, default=None) if plan.chosen else None
    known = "; ".join(filter(None, (cost.interval, commitment_words(best) if best else "")))
    yield Tile("cost per month", cost.mean if option.cost_per_month else "unknown",
               known if option.cost_per_month else "the catalog has no price", "")
    worst = by_margin(option.targets)[:MOST_TILES]
    for each in (each for each in option.targets if each in worst):
        value = with_interval(each.value, each.unit) if each.value else Shown(ABSENT, "not enough requests")
        below = f"at most {amount(each.limit, each.unit)}{f', {margin(each)}' if margin(each) else ''}"
        yield Tile(target_title(each.name), value.mean, f"{value.interval} {below}".strip(), each.status)


def targets(found: Sequence[TargetFound]) -> list[list[Any]]:
    """Rows of the table of targets: title, value, interval, limit, margin, status, its glyph."""
    return [[target_title(each.name), *_value(each), amount(each.limit, each.unit), margin(each) or ABSENT, each.status,
             LOOKS[each.status].glyph] for each in found]


def _value(each: TargetFound) -> tuple[str, str]:
    if each.value is None:
        return ABSENT, "not enough requests"
    text = with_interval(each.value, each.unit)
    return text.mean, text.interval


def blocked(plan: Plan) -> list[str]:
    """When nothing does: by how much the nearest misses, what blocks it, and what it attains."""
    if plan.chosen is not None or plan.nearest is None:
        return []
    missed = [each for each in by_margin(plan.nearest.targets) if each.status != "met" and each.value is not None]
    lines = [f"{target_title(each.name)} is {amount(each.value.mean, each.unit)}, {margin(each)} the limit "
             f"of {amount(each.limit, each.unit)}." for each in missed if each.value]
    blocks = binding(plan)
    attained = ", ".join(f"{target_title(each.name)} at most {amount(_attained(each), each.unit)}" for each in missed)
    return [*lines, *([f"What blocks it: {blocks}."] if blocks else []),
            *([f"The nearest objective that can be met: {attained}."] if attained else [])]


def _attained(each: TargetFound) -> float:
    """The limit that the option would meet."""
    assert each.value is not None
    return each.value.high if math.isfinite(each.value.high) else each.value.mean


# ---- reasons


def limit_rows(limits: Iterable[Limit]) -> list[list[str]]:
    """resource with its change, target, before, after, whether it binds."""
    return [[f"{each.resource}, {each.change}", target_title(each.target), amount(each.before, unit_of(each.target)),
             amount(each.after, unit_of(each.target)), "yes" if each.binds else "no"] for each in limits]


def headroom_lines(plan: Plan) -> list[str]:
    """One line for each kind of growth."""
    return [f"{each.what.capitalize()}: {headroom_words(each)}." for each in plan.headroom]


def swing_rows(plan: Plan) -> list[list[str]]:
    """setting, range with outcome at either end, planned value, source."""
    return [[each.setting, f"{each.low} to {each.high}", target_title(each.target),
             *(amount(value, unit_of(each.target)) for value in (each.value, each.value_low, each.value_high)),
             f"{_holds(each.met_low)} / {_holds(each.met_high)}", each.source] for each in plan.swings]


def _holds(met: bool | None) -> str:
    return {True: "meets", False: "fails", None: "unknown"}[met]


# ---- other endpoints


def alternative_rows(plan: Plan) -> list[tuple[Alternative, str, str]]:
    """(alternative, its cost, what that is to the plan's)."""
    own = plan.chosen.cost_per_month.mean if plan.chosen and plan.chosen.cost_per_month else None
    return [(each, dollars(each.cost_per_month) if each.cost_per_month is not None else ABSENT,
             _against(each.cost_per_month if each.possible else None, own)) for each in plan.alternatives]


def _against(cost: float | None, own: float | None) -> str:
    if cost is None or not own:
        return ""
    return f"{cost / own:,.0f} × the plan" if cost >= 10 * own else f"{100 * (cost / own - 1):+.0f} %".replace("-", "−")


def part_head(alternative: Alternative) -> list[str]:
    """Columns of its parts, in the order of their first appearance."""
    return list(dict.fromkeys(name for part in alternative.parts for name in part))


def part_cell(part: Mapping[str, Any], name: str) -> str:
    """One cell of them."""
    value = part.get(name)
    if value is None:
        return ABSENT
    if name.startswith("cost") and isinstance(value, int | float):
        return dollars(value)
    return f"{value:,.6g}" if isinstance(value, float) else str(value)


def commitment_rows(plan: Plan) -> list[list[str]]:
    """term, instances, price per hour, cost per month, saving."""
    return [[each.term, str(each.instances), f"${each.price_per_hour:,.3f}", dollars(each.cost_per_month),
             amount(each.saving, "ratio")] for each in plan.commitments]


# ---- every option


def columns(plan: Plan) -> list[str]:
    """Targets in the table: those of the objective first, and of the many per model those with the least margin."""
    names = [name for name in plan.objective if not name.startswith("models.")]
    judged = plan.chosen or plan.nearest
    rest = [each.name for each in by_margin(judged.targets) if each.name not in names] if judged else []
    return [*names, *rest][:MOST_COLUMNS]


def rows(plan: Plan, ruled_out: bool) -> list[Row]:
    """The options that were examined, or those that were ruled out."""
    roles_, names = roles(plan), columns(plan)
    return [_row(each, roles_.get(each.name, ""), names) for each in plan.options
            if (each.status == "ruled out") == ruled_out]


def _row(option: Option, role: str, names: Sequence[str]) -> Row:
    cost = option.cost_per_month
    found = {each.name: each for each in option.targets}
    return Row(option, role, LOOKS[option.status].glyph, fleet(option),
               Entry(cost.mean, cost_of(option)) if cost else Entry(None, None),
               [_entry(found.get(name)) for name in names])


def _entry(each: TargetFound | None) -> Entry:
    if each is None or each.value is None:
        return Entry(None, None)
    return Entry(each.value.mean, with_interval(each.value, each.unit), each.status)


def settings(option: Option) -> list[str]:
    """``endpoint.eviction.gpu=gdsf``."""
    return [f"{path}={value}" for path, value in option.settings.items()]


# ---- effort


def effort(plan: Plan) -> list[str]:
    """What was simulated, what trying everything would have taken, and how long it took here."""
    done = [f"{plural(plan.effort[name], noun)}{f' {rest}' if rest else ''}" for name, (noun, rest) in _EFFORT.items()
            if plan.effort.get(name) is not None]
    lines = [f"{', '.join(done)}."] if done else []
    all_of_them, requests = plan.effort.get("exhaustive_requests"), plan.effort.get("requests")
    if all_of_them and requests is not None:
        lines.append(f"Trying every option with every seed would have taken {count(all_of_them)} requests: "
                     f"{percent(requests / all_of_them)} of that was simulated.")
    if requests is not None and plan.effort.get("requests_with_reasons", 0) > requests:
        lines.append(f"The reasons (limits, headroom, sensitivity, other endpoints) took "
                     f"{count(plan.effort['requests_with_reasons'] - requests)} requests more.")
    if plan.timing.get("wall_s"):
        processes = plan.timing.get("processes") or 0
        cores = f" on {plural(processes, 'core')}" if processes > 0 else ""
        lines.append(f"It took {format_duration(plan.timing['wall_s'])}{cores}.")
    return lines


def labels(plan: Plan) -> dict[str, str]:
    """Figure -> what it says, for those who cannot see it."""
    return {"limits": "; ".join(map(limit_words, plan.limits)), "headroom": " ".join(headroom_lines(plan)),
            "tornado": "; ".join(f"{row[0]} from {row[1]}: {row[2]} from {row[4]} to {row[5]}" for row in
                                 swing_rows(plan)[:15]),
            "alternatives": "; ".join(f"{each.kind}: {cost}" for each, cost, _ in alternative_rows(plan))}


def downloads_rows(plan: Plan) -> list[dict[str, Any]]:
    """One row an option: for a table to take along."""
    return [{"option": each.name, "status": each.status, "instance_type": each.instance_type,
             "instances": each.instances, "most_instances": each.most_instances,
             **_ends("cost_per_month", each.cost_per_month),
             **{name: value for target in each.targets for name, value in _ends(target.name, target.value).items()},
             "seeds": each.seeds, "requests": each.requests, "why": each.why, "settings": " ".join(settings(each))}
            for each in plan.options]


def _ends(name: str, value: Interval | None) -> dict[str, float | None]:
    """Mean and both ends; what is infinite or unknown is empty."""
    plain = finite(asdict(value)) if value else {}
    return {name: plain.get("mean"), f"{name} low": plain.get("low"), f"{name} high": plain.get("high")}
