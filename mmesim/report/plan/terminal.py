"""The answer of a plan in the terminal, on one screen."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from mmesim.report.intervals import Shown
from mmesim.report.plan.looks import LOOKS
from mmesim.report.plan.tables import blocked
from mmesim.report.plan.words import (
    alternative_cost,
    amount,
    binding,
    by_margin,
    commitment_words,
    cost_of,
    headline,
    headroom_words,
    objective,
    roles,
    target_title,
    unit_of,
    with_interval,
)
from mmesim.report.wording import ABSENT, plural
from mmesim.results.plan import Option, Plan, TargetFound
from mmesim.units import format_duration

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

MOST_SENTENCES, MOST_TARGETS = 8, 3
"""On one screen; the report has all."""
ROOMY, WIDEST, TIGHT = 110, 26, 11
"""Columns of a terminal that has room for intervals; of one target at most, there and elsewhere."""


def print_plan(plan: Plan, console: Console) -> None:
    """What to deploy and why, in about forty lines; the report has the rest."""
    console.print(_head(plan), highlight=False)
    for sentence in plan.sentences[:MOST_SENTENCES] or [" ".join(blocked(plan))]:
        if sentence:
            console.print(f"• {sentence}", highlight=False, markup=False)
    if len(plan.sentences) > MOST_SENTENCES:
        more = len(plan.sentences) - MOST_SENTENCES
        console.print(f"  … and {more} more in the report", style="dim", highlight=False)
    shown = _shown(plan)
    if shown:
        console.print(_options(plan, shown, console.width))
    console.print(_facts(plan))


def _head(plan: Plan) -> str:
    from rich.markup import escape

    said, which = headline(plan)
    answer = f"[bold green]{said} {escape(which)}[/]" if plan.chosen else f"[bold red]{said}[/]"
    wall = f", {format_duration(plan.timing['wall_s'])}" if plan.timing.get("wall_s") else ""
    requests = f", {plural(plan.effort['requests'], 'simulated request')}" if plan.effort.get("requests") else ""
    return (f"\n[bold]{escape(plan.name)}[/]  {plural(len(plan.options), 'option')}{requests}{wall}; "
            f"{100 * plan.confidence:.3g} % intervals\n{answer}")


def _shown(plan: Plan) -> list[tuple[str, Option]]:
    """(role, option) of the answer's options, in the order of the roles."""
    return [(role, plan.option(name)) for name, role in roles(plan).items()
            if any(each.name == name for each in plan.options)]


def _options(plan: Plan, shown: Sequence[tuple[str, Option]], width: int) -> Table:
    from rich import box
    from rich.markup import escape
    from rich.table import Table

    roomy = width >= ROOMY
    names = _names(plan, MOST_TARGETS if roomy else MOST_TARGETS - 1)
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, header_style="dim")
    table.add_column("", style="cyan", min_width=max(len(role) for role, _ in shown))
    table.add_column("option", overflow="fold", min_width=16)
    table.add_column("cost\nper month", justify="right", no_wrap=True)
    for name in names:
        limit = amount(plan.objective.get(name), unit_of(name))
        title = target_title(name).replace(" of ", "\nof ", 1) + f"\n≤ {limit}"
        table.add_column(escape(title), justify="right", no_wrap=True, max_width=WIDEST if roomy else TIGHT)
    table.add_column("", min_width=len("missed"))
    for role, option in shown:
        look, found = LOOKS[option.status], {each.name: each for each in option.targets}
        table.add_row(role, escape(option.name), _text(cost_of(option), roomy),
                      *(_value(found.get(name), roomy) for name in names), f"[{look.style}]{look.word}[/]")
    return table


def _names(plan: Plan, most: int) -> list[str]:
    """The targets with the least margin, in the objective's order."""
    judged = plan.chosen or plan.nearest
    tight = [each.name for each in by_margin(judged.targets)][:most] if judged else []
    return [each.name for each in judged.targets if each.name in tight] if judged else []


def _text(shown: Shown, roomy: bool) -> str:
    """The mean, and the interval where there is room."""
    from rich.markup import escape

    return escape(shown.mean) + (f" [dim]{escape(shown.interval)}[/]" if roomy and shown.interval else "")


def _value(each: TargetFound | None, roomy: bool) -> str:
    if each is None or each.value is None:
        return ABSENT
    return f"[{LOOKS[each.status].style}]{_text(with_interval(each.value, each.unit), roomy)}[/]"


def _facts(plan: Plan) -> Table:
    from rich.markup import escape
    from rich.table import Table

    table = Table.grid(padding=(0, 2))
    table.add_column(style="cyan", no_wrap=True)
    table.add_column(overflow="fold")
    before = ""
    for label, text in _lines(plan):
        table.add_row("" if label == before else label, escape(text))
        before = label
    return table


def _lines(plan: Plan) -> Iterator[tuple[str, str]]:
    """(label, text), most important first."""
    yield "objective", objective(plan)
    for role, option in _shown(plan):
        if role != "chosen":
            yield role, option.why
    if plan.limits:
        yield ("limited by" if plan.chosen else "blocked by"), binding(plan)
    for growth in plan.headroom:
        yield "headroom", f"{growth.what}: {headroom_words(growth)}"
    for each in by_margin(plan.survival)[:MOST_TARGETS]:
        value = amount(each.value.mean if each.value else None, each.unit)
        yield "when lost", f"{target_title(each.name)}: {value}, at most {amount(each.limit, each.unit)}, {each.status}"
    for other in plan.alternatives:
        yield "instead", f"{other.kind}: {alternative_cost(other)}. {other.why}"
    for committed in plan.commitments:
        yield "committed", commitment_words(committed)
    for note in plan.notes[:MOST_TARGETS]:
        yield "note", note
