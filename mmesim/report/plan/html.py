"""plan.html: one page that gives the answer, its reasons and everything that was examined; its figures as files."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

from mmesim.report.page import Download, data_uri, render_page, write_page
from mmesim.report.plan import front, reasons, tables, words
from mmesim.report.plan.looks import LOOKS
from mmesim.report.sheets import Sheet, as_files, on_page
from mmesim.results.plan import Plan
from mmesim.results.plan_files import as_json


def write_plan_report(plan: Plan, path: Path, deploy: Sequence[str] = ()) -> None:
    """Draw the page and put it in place at once; `deploy`: names of the files in deploy/ beside it."""
    write_page(render_plan(plan, deploy), path)


def write_plan_figures(plan: Plan, folder: Path, formats: Sequence[str] = ("png", "svg")) -> list[Path]:
    """Each figure of the page as a file in light colours; the same plan gives the same bytes.

    Returns the paths, in the page's order. Raises InputError: a format that is no kind of figure.
    """
    return as_files(sheets(plan), folder, formats)


def render_plan(plan: Plan, deploy: Sequence[str] = ()) -> str:
    """The whole page. The same plan gives the same bytes."""
    return render_page("plan/template.html", plan=plan, answer=plan.chosen or plan.nearest, deploy=list(deploy),
                       t=tables, w=words, looks=LOOKS, figures=on_page(sheets(plan)), downloads=downloads(plan))


def sheets(plan: Plan) -> Iterator[Sheet]:
    """The figures there is something to draw for, in the page's order."""
    labels = tables.labels(plan)
    if plan.limits:
        which = ("A fleet that just fails (the next smaller one, else the plan with more traffic than it takes)"
                 if plan.chosen else "The nearest")
        yield Sheet("limits", "With more of one resource", f"{which}, as it is (hollow) and with more of one resource. "
                    "What brings it left of the limit binds.", labels["limits"], partial(reasons.limits, plan),
                    wide=False)
    if plan.headroom:
        yield Sheet("headroom", "Room to grow", "Everything else as planned. Between the two marks nobody looked.",
                    labels["headroom"], partial(reasons.headroom, plan))
    if front.can_be_drawn(plan):
        yield Sheet("cost-and-latency", f"Cost against {words.front_title(plan)}", _front_caption(plan),
                    _front_label(plan), partial(front.cost_and_latency, plan))
    if plan.swings:
        yield Sheet("tornado", "What was assumed", _tornado_caption(plan), labels["tornado"],
                    partial(reasons.tornado, plan))
    if len(reasons.priced_alternatives(plan)) > 1:
        yield Sheet("alternatives", "What the same costs elsewhere", "Cost per month of the same models and traffic. "
                    "Hatched bars are arithmetic, which knows no waiting.", labels["alternatives"],
                    partial(reasons.alternatives, plan))


def _front_caption(plan: Plan) -> str:
    price = "" if front.is_priced(plan) else " No price is known, so instances stand in its place."
    return ("Every option that was simulated as a whole, a cross of two intervals. The broad line joins those that no "
            f"other beats in both.{price}")


def _tornado_caption(plan: Plan) -> str:
    most = reasons.MOST_SWINGS
    rest = f" The {most} largest of {len(plan.swings)} are drawn." if len(plan.swings) > most else ""
    return f"The plan with one assumed setting at either end of its range, largest effect first.{rest}"


def _front_label(plan: Plan) -> str:
    named = "; ".join(f"{role}: {name}" for name, role in words.roles(plan).items())
    return f"Cost against {words.front_title(plan)} of {len(front.points(plan))} options; {named}"


def downloads(plan: Plan) -> list[Download]:
    """Every option as a table, and the whole plan."""
    import pandas as pd

    options = pd.DataFrame(tables.downloads_rows(plan)).to_csv(index=False)
    whole = json.dumps(as_json(plan), ensure_ascii=False, allow_nan=False)
    return [Download(f"{plan.name}-options.csv", "every option (CSV)", data_uri("text/csv", options)),
            Download(f"{plan.name}.json", "all of it (JSON)", data_uri("application/json", whole))]
